"""The shape of `report.json`: everything a rendering may say, computed once.

Matrices are row-major lists; rows are actual classes, columns predicted ones, both in the order of
`classes`. Losses are mean cross-entropies in nats, accuracies fractions in [0, 1]. `None` stands
where a quantity cannot be computed or was not measured.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from kvasir_prune.data.findings import DataCheck
from kvasir_prune.errors import RunFolderError
from kvasir_prune.evaluation.comparison import Comparison
from kvasir_prune.evaluation.detection import Detection
from kvasir_prune.evaluation.flips import Flip
from kvasir_prune.evaluation.latency import Latency
from kvasir_prune.evaluation.non_inferiority import Verdict


class Part(BaseModel):
    """Base of all parts: immutable, no key beside the declared ones, no NaN, no infinity."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Outcome(Part):
    """How one network does on one split.

    `class_accuracy` is the sensitivity of each class (None for a class without images);
    `confusion_matrix` counts images.
    """

    loss: float
    accuracy: float
    class_accuracy: list[float | None]
    confusion_matrix: list[list[int]]


class Split(Part):
    """One split before and after pruning.

    `confusion_delta_percent` is (after - before) / images of the actual class x 100 (thesis
    Tables 5.3 to 5.5); its rows are None for a class without images.
    """

    images: int
    images_per_class: list[int]
    before: Outcome
    after: Outcome
    confusion_delta_percent: list[list[float | None]]


class Layer(Part):
    """One row of thesis Table 5.2; `important`, `zero` and `worse` are None if not measured."""

    name: str
    nodes: int
    important: int | None
    zero: int | None
    worse: int | None
    removed: int


class Cost(Part):
    """What one network costs: trainable and other weights, multiply-adds x 2 per image, bytes."""

    parameters: int
    flops: int
    file_bytes: int | None


class CostPair(Part):
    """Cost before and after pruning."""

    before: Cost
    after: Cost


class Measured(Part):
    """Loss and accuracy at one point of the evolution."""

    loss: float
    accuracy: float


class EvolutionPoint(Part):
    """The network after `removed` removals, the last of them in `layer` (None before the first)."""

    removed: int
    layer: str | None
    train: Measured
    validation: Measured
    test: Measured


class TurningPoint(Part):
    """From where on the test loss rose while the loss that nodes were judged by still fell.

    `removed` nodes were gone then, `removed_after` more went later. `judged_then` and
    `judged_at_the_end` are losses on the split that decided.
    """

    removed: int
    layer: str | None
    removed_after: int
    test_then: Measured
    test_at_the_end: Measured
    judged_then: float
    judged_at_the_end: float


class Epoch(Part):
    """One line of the training history; epochs count from 1."""

    epoch: int
    train_loss: float
    train_accuracy: float
    validation_loss: float
    validation_accuracy: float


class Training(Part):
    """How the network was trained; `best_epoch` is the one whose weights were kept."""

    epochs: list[Epoch]
    best_epoch: int
    stopped_early: bool


class Pruning(Part):
    """How it was pruned; thresholds as in the configuration, evaluations counted."""

    strategy: str
    scoring_split: str
    low: float
    high: float
    ignore_below: float | None
    layers: list[str]
    removed: int
    ignored: int
    evaluations: int

    @property
    def chosen_on(self) -> str | None:
        """The split that decided which nodes went; None where they were drawn at random."""
        return None if self.strategy == "random" else self.scoring_split


class Data(Part):
    """Where the images came from and what was done to them."""

    source: str
    images: int
    image_side_px: list[int]
    groups: int | None
    conversions: dict[str, int]
    skipped: list[str]
    split_deviation_percent: dict[str, list[float]]
    blanked: list[list[float]] = []


class GroupedClasses(Part):
    """The comparison with classes merged into groups; `group_of` is the group of each class."""

    names: list[str]
    group_of: list[int]
    abnormal: list[str]
    comparison: Comparison


class Assessment(Part):
    """The networks before and after on the test images, compared image by image.

    `grouped` is None where the configuration names no groups; `detection`, of any disease against
    none, where it calls no group or every class abnormal; `verdicts`, on the accuracy and the
    balanced accuracy by name, is empty where it sets no margin; `prespecified` is whether that
    margin was set when the test images were evaluated.
    """

    comparison: Comparison
    grouped: GroupedClasses | None
    detection: Detection | None
    verdicts: dict[str, Verdict]
    prespecified: bool | None
    flips: list[Flip]


class StageTime(Part):
    """When a stage ended, ISO 8601 in UTC, and how many seconds it worked, stops left out."""

    stage: str
    ended: str
    seconds: float


class Provenance(Part):
    """What would be needed to do it again, and what belongs to this machine: times, latency.

    `begun` and `starts` are ISO 8601 in UTC; each start after the first went on after a stop.
    `stages` are those whose end the log tells. `memory_bytes` is that of the machine, None if not
    known. `latency` is empty if it was not measured. `versions` are those of the run,
    `report_versions` those that the report was computed with.
    """

    command: str
    seed: int
    versions: dict[str, str]
    digests: dict[str, str]
    devices: list[str]
    begun: str
    starts: list[str]
    stages: list[StageTime] = []
    threads: int
    memory_bytes: int | None = None
    latency: list[Latency]
    report_versions: dict[str, str]
    config_yaml: str


class Results(Part):
    """What came of the run: a function of its configuration, data and seed.

    `assessment` is None if there are no test images, `turning_point` if there is none.
    """

    classes: list[str]
    splits: dict[str, Split]
    assessment: Assessment | None
    layers: list[Layer]
    cost: CostPair
    evolution: list[EvolutionPoint]
    turning_point: TurningPoint | None
    training: Training
    pruning: Pruning
    data: Data
    data_check: DataCheck


class Record(Part):
    """The whole of `report.json`."""

    schema_version: Literal[4] = 4
    name: str
    description: str
    results: Results
    provenance: Provenance


def read_record(path: Path) -> Record:
    """Read a `report.json`.

    Raises:
        RunFolderError: there is none, or one of another version.
    """
    try:
        return Record.model_validate_json(path.read_bytes())
    except OSError as error:
        got, expected = error.strerror or str(error), "a run that is finished"
    except ValidationError as error:
        got, expected = (
            _faults(error),
            f"schema version {Record.model_fields['schema_version'].default}",
        )
    raise RunFolderError(
        "The run has no report that this version reads.",
        where=path,
        got=got,
        expected=expected,
        fix="finish it with `kvasir-prune run`, or `kvasir-prune report` writes it anew",
    )


def _faults(error: ValidationError) -> str:
    """Return what is wrong with a report: its version if that is another, or else its keys."""
    found = {".".join(map(str, fault["loc"])): fault for fault in error.errors()}
    if "schema_version" in found:
        return f"schema version {found['schema_version']['input']!r}"
    told = (f"{place}: {fault['msg']}".removeprefix(": ") for place, fault in found.items())
    return "; ".join([*told][:3])
