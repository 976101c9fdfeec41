"""Records made by hand, for the tests of the report.

`thesis_record` is chapter 5 of Charpentier (2020), "To prune or not to prune": VGG-16 on Kvasir v2.
Tables 5.1, 5.2 and 5.3 are the thesis's; the confusion matrices before pruning are made up so that
they agree with Table 5.1, and so are the courses of training and pruning between the printed ends.
Tables 5.4 and 5.5 follow the thesis but for two rows (drm in 5.4, eso in 5.5) that do not sum to
zero as printed; they are mended so that the accuracies of Table 5.1 come out. `synthetic_record` is
any number of classes, with the gaps a real record can have.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kvasir_prune.config.report import ReportConfig
from kvasir_prune.data.findings import DataCheck, RegionTells
from kvasir_prune.data.judging import groups, unreadable
from kvasir_prune.data.judging_looks import border
from kvasir_prune.data.listing import Listing
from kvasir_prune.evaluation.latency import Latency
from kvasir_prune.evaluation.store import SplitLogits
from kvasir_prune.report.assessment import assess
from kvasir_prune.report.schema import (
    Assessment,
    Cost,
    CostPair,
    Data,
    Epoch,
    EvolutionPoint,
    Layer,
    Measured,
    Outcome,
    Provenance,
    Pruning,
    Record,
    Results,
    Split,
    StageTime,
    Training,
)
from kvasir_prune.report.turning_point import turning_point

Matrix = list[list[int]]

CLASSES = [
    "dyed-lifted-polyps",
    "dyed-resection-margins",
    "esophagitis",
    "normal-cecum",
    "normal-pylorus",
    "normal-z-line",
    "polyps",
    "ulcerative-colitis",
]

# split: (loss before, accuracy before, loss after, accuracy after)
TABLE_5_1 = {
    "train": (0.1371, 0.9554, 0.2818, 0.9034),
    "validation": (0.3570, 0.8817, 0.1920, 0.9625),
    "test": (0.4099, 0.8725, 0.4103, 0.8467),
}

# layer, nodes, important, zero, worse, removed; important of the first layer and worse of the last
# as counted by the author's run: the printed 36 and 1877 do not add up to the layers' nodes.
TABLE_5_2 = [
    ("block1_conv1", 64, 34, 14, 16, 21),
    ("block1_conv2", 64, 25, 17, 22, 25),
    ("block2_conv1", 128, 56, 30, 42, 46),
    ("block2_conv2", 128, 47, 34, 47, 47),
    ("block3_conv1", 256, 75, 88, 93, 96),
    ("block3_conv2", 256, 85, 73, 98, 94),
    ("block3_conv3", 256, 85, 79, 92, 84),
    ("block4_conv1", 512, 198, 139, 175, 170),
    ("block4_conv2", 512, 182, 137, 193, 186),
    ("block4_conv3", 512, 222, 84, 206, 143),
    ("block5_conv1", 512, 271, 52, 189, 109),
    ("block5_conv2", 512, 282, 28, 202, 88),
    ("block5_conv3", 512, 299, 11, 202, 33),
    ("fc1", 4096, 1976, 287, 1833, 1337),
    ("fc2", 4096, 2002, 207, 1887, 2334),
]

TABLE_5_3 = [
    [-4.7, 4, 0, 0, 0, 0, 0, 0.7],
    [4.7, -5.3, 0, 0.7, 0, 0, 1.3, -1.3],
    [0, 0, -12.7, 0, -0.7, 13.3, 0, 0],
    [0, 0, 0, 2.7, 0, 0, 0, -2.7],
    [0, 0, -0.7, 0, -1.3, 2, -0.7, 0.7],
    [0, 0, -8.7, 0, 1.3, 7.3, 0, 0],
    [0.7, 0, 0, 0, -0.7, 0, 6, -6],
    [2, -0.7, 0, 5.3, 1.3, 0, 4.7, -12.7],
]

BEFORE: dict[str, Matrix] = {
    "test": [
        [126, 18, 0, 0, 0, 0, 3, 3],
        [18, 125, 0, 1, 0, 0, 2, 4],
        [0, 0, 133, 0, 2, 15, 0, 0],
        [0, 0, 0, 141, 0, 0, 2, 7],
        [0, 0, 3, 0, 143, 1, 2, 1],
        [0, 0, 31, 0, 2, 117, 0, 0],
        [2, 1, 0, 4, 2, 0, 125, 16],
        [1, 2, 0, 4, 1, 0, 5, 137],
    ],
    "validation": [
        [109, 34, 0, 0, 0, 0, 4, 3],
        [22, 124, 0, 0, 0, 0, 2, 2],
        [0, 0, 144, 0, 1, 5, 0, 0],
        [0, 0, 0, 141, 0, 0, 4, 5],
        [0, 0, 3, 0, 147, 0, 0, 0],
        [0, 0, 28, 0, 6, 116, 0, 0],
        [1, 0, 0, 1, 2, 0, 134, 12],
        [0, 0, 0, 1, 0, 0, 6, 143],
    ],
    "train": [
        [653, 33, 0, 0, 0, 0, 7, 7],
        [33, 657, 0, 2, 0, 0, 4, 4],
        [0, 0, 666, 0, 6, 28, 0, 0],
        [0, 0, 0, 690, 0, 0, 4, 6],
        [0, 0, 4, 0, 692, 2, 1, 1],
        [0, 0, 39, 0, 8, 653, 0, 0],
        [4, 2, 0, 7, 3, 0, 662, 22],
        [3, 2, 0, 7, 2, 0, 9, 677],
    ],
}

CHANGE: dict[str, Matrix] = {
    "test": [[round(value / 100 * 150) for value in row] for row in TABLE_5_3],
    "validation": [
        [33, -28, 0, 0, 0, 0, -3, -2],
        [-16, 17, 0, 1, 0, 0, -1, -1],
        [0, 0, -1, 0, -1, 2, 0, 0],
        [0, 0, 0, 7, 0, 0, -3, -4],
        [0, 0, -2, 0, 1, 1, 0, 0],
        [0, 0, -22, 0, -5, 27, 0, 0],
        [0, 0, 0, 0, -2, 0, 12, -10],
        [0, 0, 0, 3, 0, 0, -4, 1],
    ],
    "train": [
        [-54, 55, 0, 1, 0, 0, -1, -1],
        [43, -44, 0, 0, 0, 0, 1, 0],
        [0, 0, -97, 0, -4, 101, 0, 0],
        [0, 0, 0, -16, 0, 0, 14, 2],
        [0, 0, 3, 0, -13, 9, 0, 1],
        [0, 0, -6, 0, -4, 10, 0, 0],
        [3, 0, 0, 18, 0, 3, -16, -8],
        [2, 0, 0, 30, 5, 1, 23, -61],
    ],
}

THESIS_QUESTIONS = ReportConfig(
    non_inferiority_margin=0.02,
    class_groups={
        "pathological": ["esophagitis", "polyps", "ulcerative-colitis"],
        "anatomical landmark": ["normal-cecum", "normal-pylorus", "normal-z-line"],
        "polyp removal": ["dyed-lifted-polyps", "dyed-resection-margins"],
    },
    abnormal=["pathological"],
)

EDGES = {
    "border": RegionTells(accuracy=0.7, low=0.62, reference=0.6, excess_low=0.03),
    "upper left corner": RegionTells(accuracy=0.6, low=0.5, reference=0.5, excess_low=-0.02),
}

CONFIG_YAML = """\
# VGG-16 on Kvasir v2, as in chapter 5.
name: vgg16-kvasir
seed: 2020
data:
  source: kvasir-dataset-v2
  shares: {train: 0.70, validation: 0.15, test: 0.15}
pruning:
  strategy: greedy
  low: -1.0e-5
  ignore_below: -5.0e-5
"""


def outcome(matrix: Matrix, loss: float) -> Outcome:
    images = sum(map(sum, matrix))
    return Outcome(
        loss=loss,
        accuracy=sum(row[i] for i, row in enumerate(matrix)) / images,
        class_accuracy=[row[i] / sum(row) if sum(row) else None for i, row in enumerate(matrix)],
        confusion_matrix=matrix,
    )


def split(before: Matrix, after: Matrix, loss_before: float, loss_after: float) -> Split:
    per_class = [sum(row) for row in before]
    return Split(
        images=sum(per_class),
        images_per_class=per_class,
        before=outcome(before, loss_before),
        after=outcome(after, loss_after),
        confusion_delta_percent=[
            [(a - b) / n * 100 if n else None for b, a in zip(was, now, strict=True)]
            for was, now, n in zip(before, after, per_class, strict=True)
        ],
    )


def evolution(splits: dict[str, Split], layers: Sequence[Layer]) -> list[EvolutionPoint]:
    """Make up a course from the printed start to the printed end, last layer first."""
    total = sum(layer.removed for layer in layers)
    points = [_point(splits, 0, None, total)]
    removed = 0
    for layer in reversed(layers):
        for step in range(1, layer.removed + 1):
            if step % 16 == 0 or step == layer.removed:
                points.append(_point(splits, removed + step, layer.name, total))
        removed += layer.removed
    return points


def _point(splits: dict[str, Split], removed: int, layer: str | None, total: int) -> EvolutionPoint:
    done = removed / total if total else 0.0
    bend = {"train": 2.0, "validation": 0.5, "test": 1.0}
    measured = {}
    for name, part in splits.items():
        share = done ** bend[name]
        wave = math.sin(9 * math.pi * done) * done * (1 - done)
        loss = part.before.loss + share * (part.after.loss - part.before.loss) - 0.06 * wave
        right = part.before.accuracy + share * (part.after.accuracy - part.before.accuracy)
        right = round((right + 0.02 * wave) * part.images) / part.images
        measured[name] = Measured(loss=loss, accuracy=right)
    return EvolutionPoint(removed=removed, layer=layer, **measured)


def training(epochs: int) -> Training:
    return Training(
        epochs=[
            Epoch(
                epoch=epoch,
                train_loss=1.9 * math.exp(-epoch / 11) + 0.02,
                train_accuracy=0.98 - 0.78 * math.exp(-epoch / 9),
                validation_loss=1.62 * math.exp(-epoch / 8) + 0.25 + 0.004 * abs(epoch - 29),
                validation_accuracy=0.885 - 0.64 * math.exp(-epoch / 8),
            )
            for epoch in range(1, epochs + 1)
        ],
        best_epoch=max(1, epochs - 10),
        stopped_early=True,
    )


def provenance() -> Provenance:
    return Provenance(
        command="kvasir-prune run configs/vgg16_kvasir.yaml --device gpu",
        seed=2020,
        versions={"kvasir-prune": "0.1.0", "keras": "3.12.0", "python": "3.12.4"},
        devices=["CPU Example (avx2)"],
        begun="2020-06-01T08:00:00+00:00",
        starts=["2020-06-01T08:00:00+00:00", "2020-06-02T09:30:00+00:00"],
        stages=[
            StageTime(stage=stage, ended=f"2020-06-0{day}T12:00:00+00:00", seconds=3600.0 * day)
            for day, stage in enumerate(
                ("images", "training", "importance", "pruning", "evaluation"), start=1
            )
        ],
        threads=2,
        memory_bytes=64 * 2**30,
        latency=[
            Latency(name, size, 40, time, time - 0.3, time + 0.5)
            for size, times in ((1, (31.2, 31.4, 19.8)), (32, (610.5, 611.0, 280.3)))
            for name, time in zip(("before", "masked", "cut"), times, strict=True)
        ],
        digests={
            "dataset": "sha256:" + "5f2c9f0e" * 8,
            "base weights": "sha256:" + "a1b2c3d4" * 8,
        },
        report_versions={"kvasir_prune": "0.1.0", "numpy": "2.4.6"},
        config_yaml=CONFIG_YAML,
    )


def assessment(
    splits: dict[str, Split], classes: Sequence[str], config: ReportConfig
) -> Assessment | None:
    """Assess made-up logits that give the test set's confusion matrices."""
    matrices = [getattr(splits["test"], moment).confusion_matrix for moment in ("before", "after")]
    labels, before, after = paired_predictions(*matrices)
    rng = np.random.default_rng(0)
    logits = [
        (4 * np.eye(len(classes))[named] + rng.random((len(named), len(classes)))).astype("float32")
        for named in (before, after)
    ]
    return assess(
        SplitLogits(labels, *logits),
        classes,
        listing(len(labels)),
        config,
        earlier_margin=config.non_inferiority_margin,
        seed=0,
        where=Path("evaluation.h5"),
        replicates=100,
    )


def listing(images: int) -> Listing:
    """Return what `split.csv` would say of so many test images of unknown patients."""
    paths = tuple(f"images/{place:04d}.jpg" for place in range(images))
    nothing = ("",) * images
    return Listing(paths, nothing, nothing, nothing, ("test",) * images)


def paired_predictions(before: Matrix, after: Matrix) -> list[NDArray[np.int64]]:
    """Return labels and both predictions of images with these matrices and the fewest flips."""
    images = []
    for label, (was, now) in enumerate(zip(before, after, strict=True)):
        images += [
            (label, named, named)
            for named, counts in enumerate(zip(was, now, strict=True))
            for _ in range(min(counts))
        ]
        left = [
            [named for named, (a, b) in enumerate(pairs) for _ in range(max(0, a - b))]
            for pairs in (list(zip(was, now, strict=True)), list(zip(now, was, strict=True)))
        ]
        images += [(label, *moved) for moved in zip(*left, strict=True)]
    return list(np.array(images, np.int64).T)


def with_results(record: Record, **changes: object) -> Record:
    """Return the record with some of its results replaced."""
    return record.model_copy(update={"results": record.results.model_copy(update=changes)})


def thesis_record() -> Record:
    """Return the case study of the thesis."""
    splits = {}
    for name, (loss_before, _, loss_after, _) in TABLE_5_1.items():
        before = BEFORE[name]
        after = [
            [b + c for b, c in zip(was, change, strict=True)]
            for was, change in zip(before, CHANGE[name], strict=True)
        ]
        splits[name] = split(before, after, loss_before, loss_after)
    keys = ("name", "nodes", "important", "zero", "worse", "removed")
    layers = [Layer(**dict(zip(keys, row, strict=True))) for row in TABLE_5_2]
    return Record(
        name="VGG-16 on Kvasir v2",
        description="Greedy pruning of a VGG-16 trained from scratch: the case study of chapter 5.",
        results=Results(
            classes=CLASSES,
            splits=splits,
            assessment=assessment(splits, CLASSES, THESIS_QUESTIONS),
            layers=layers,
            # Counted by hand for 224 x 224 pixels and 8 classes.
            cost=CostPair(
                before=Cost(parameters=134_293_320, flops=30_932_402_176, file_bytes=537_216_288),
                after=Cost(parameters=77_664_629, flops=13_704_829_606, file_bytes=310_701_524),
            ),
            evolution=(course := evolution(splits, layers)),
            turning_point=turning_point(course, "validation"),
            training=training(39),
            pruning=Pruning(
                strategy="greedy",
                scoring_split="validation",
                low=-1e-5,
                high=1e-5,
                ignore_below=-5e-5,
                layers=[layer.name for layer in reversed(layers)],
                removed=sum(layer.removed for layer in layers),
                ignored=3641,
                evaluations=187_220,
            ),
            data=Data(
                source="Kvasir v2, 8 classes of 1,000 images each",
                images=8000,
                image_side_px=[224, 224],
                groups=None,
                conversions={"resized": 8000, "grey to RGB": 3},
                skipped=["polyps/Thumbs.db: not an image", "esophagitis/x.jpg: truncated"],
                split_deviation_percent={name: [0.25, -0.1, -0.15] for name in CLASSES[:2]}
                | {name: [0.0, 0.0, 0.0] for name in CLASSES[2:]},
            ),
            data_check=DataCheck(
                findings=[
                    unreadable(2, 8000),
                    groups([], []),
                    border(EDGES, 8),
                ],
                look_alikes=[],
                leaked_pairs=[],
                predictability=EDGES,
                blank_regions=[],
            ),
        ),
        provenance=provenance(),
    )


def synthetic_record(
    classes: Sequence[str],
    *,
    nothing_removed: bool = False,
    empty_class: int | None = None,
    nothing_measured: bool = False,
    epochs: int = 5,
) -> Record:
    """Return a record of any classes, 40 images each in every split.

    Args:
        classes: their names.
        nothing_removed: whether pruning found no node to remove.
        empty_class: the class that has no images, if any.
        nothing_measured: whether everything that may be None is None.
        epochs: length of the training history; 0 for a network trained elsewhere.
    """
    n = len(classes)
    before = [[31 if i == j else 0 for j in range(n)] for i in range(n)]
    for i in range(n):
        before[i][(i + 1) % n] += 9
    after = [row.copy() for row in before]
    if not nothing_removed:
        for i in range(n):
            moved = i % 6 - 2
            after[i][i] += moved
            after[i][(i + 1) % n] -= moved
    if empty_class is not None:
        before[empty_class] = after[empty_class] = [0] * n
    shift = 0.0 if nothing_removed else 0.0437
    splits = {
        name: split(before, after, loss, loss + shift)
        for name, loss in (("train", 0.2113), ("validation", 0.3519), ("test", 0.3871))
    }
    counts = (None, None, None) if nothing_measured else (20, 7, 5)
    layers = [
        Layer(
            name=name,
            nodes=32,
            important=counts[0],
            zero=counts[1],
            worse=counts[2],
            removed=0 if nothing_removed else removed,
        )
        for name, removed in (("conv_1", 3), ("conv_2", 0), ("dense_1", 11))
    ]
    after_cost = Cost(parameters=10_244, flops=2_000_110, file_bytes=50_331)
    before_cost = Cost(parameters=20_488, flops=4_000_220, file_bytes=100_662)
    if nothing_removed:
        after_cost = before_cost
    if nothing_measured:
        after_cost = after_cost.model_copy(update={"file_bytes": None})
    return Record(
        name="synthetic",
        description="",
        results=Results(
            classes=list(classes),
            splits=splits,
            assessment=assessment(splits, classes, ReportConfig()),
            layers=layers,
            cost=CostPair(before=before_cost, after=after_cost),
            evolution=(course := evolution(splits, layers)[: 1 if nothing_removed else None]),
            turning_point=turning_point(course, "validation"),
            training=training(epochs),
            pruning=Pruning(
                strategy="exhaustive",
                scoring_split="validation",
                low=-1e-5,
                high=1e-5,
                ignore_below=None,
                layers=[layer.name for layer in reversed(layers)],
                removed=sum(layer.removed for layer in layers),
                ignored=0,
                evaluations=271,
            ),
            data=Data(
                source="folder",
                images=40 * n * 3,
                image_side_px=[32, 32],
                groups=17,
                conversions={},
                skipped=[],
                split_deviation_percent={},
            ),
            data_check=DataCheck(
                findings=[unreadable(0, 40 * n * 3)],
                look_alikes=[],
                leaked_pairs=[],
                predictability=None,
                blank_regions=[],
            ),
        ),
        provenance=provenance(),
    )
