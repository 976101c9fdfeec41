"""A suite made concrete: images, labels, trained weights, strategy. Prepared once, then cached."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.dense import train_behind
from benchmarks.suites import Suite
from kvasir_prune.config import RunConfig, identity, load_config
from kvasir_prune.data import Dataset, prepare
from kvasir_prune.importance.scorer import Scorer
from kvasir_prune.importance.scorers import scorer_of
from kvasir_prune.importance.scoring_set import ScoringSet
from kvasir_prune.models import Chain, build, read_chain
from kvasir_prune.models.file import load_model
from kvasir_prune.progress import Progress
from kvasir_prune.pruning import Exhaustive, Greedy, Strategy
from kvasir_prune.publish import publishing
from kvasir_prune.training.fit import train
from kvasir_prune.types import VALIDATION, LayerSize

CONFIGS = Path(__file__).resolve().parent.parent / "configs"


@dataclass(frozen=True)
class Problem:
    """What both scorers are given.

    Attributes:
        config: resolved, with the seed.
        chain: the trained network.
        scoring_set: the images that judge the nodes, memory-mapped.
        start: position in `chain.layers` of the first layer that the pruning can change.
        dataset: where images and rows come from.
        folder: what is cached of this suite.
    """

    config: RunConfig
    chain: Chain
    scoring_set: ScoringSet
    start: int
    dataset: Dataset
    folder: Path

    @property
    def layers(self) -> tuple[LayerSize, ...]:
        """The layers to prune, last hidden layer first."""
        return to_prune(self.chain, self.config.pruning.layers)

    def strategy(self) -> Strategy:
        """Return the configured strategy."""
        low = self.config.importance.low
        if self.config.pruning.strategy == "exhaustive":
            return Exhaustive(low)
        return Greedy(low, self.config.pruning.ignore_below)

    def scorer(self) -> Scorer:
        """Make the configured scorer."""
        return scorer_of(self.config.importance, self.chain, self.scoring_set)


def to_prune(chain: Chain, names: Collection[str] | None) -> tuple[LayerSize, ...]:
    """Return the named prunable layers (None: all), last one first."""
    return tuple(hidden.size for hidden in reversed(chain.named(names)))


def problem_of(
    suite: Suite,
    *,
    scorer: str,
    seed: int,
    cache: Path,
    limit_images: int | None,
    progress: Progress,
) -> Problem:
    """Read the images, train the network unless the cache holds it, and put both together.

    Args:
        suite: which problem.
        scorer: "exact" or "reference", what stands beside the literal way.
        seed: of the split, the initial weights and the order of training.
        cache: folder of prepared images and trained networks; `model.keras` in the suite's own
            folder in it is used where it lies there.
        limit_images: score on so many images, evenly taken; None takes all.
        progress: told about what takes long.
    """
    path = CONFIGS / f"{suite.config}.yaml"
    config = load_config(path, [*suite.overrides, f"importance.scorer={scorer}", f"seed={seed}"])
    folder = cache / folder_name(config)
    folder.mkdir(parents=True, exist_ok=True)
    side = config.model.input_side_px
    dataset = prepare(config.data, side_px=side, seed=seed, run_folder=folder, progress=progress)
    if not (folder / "model.keras").exists():
        _train(suite, config, dataset, folder, progress)
    chain = read_chain(load_model(folder / "model.keras"))
    scored = _scored(suite, dataset, limit_images)
    first = to_prune(chain, config.pruning.layers)[-1]
    start = chain.find(first.name).producer
    return Problem(config, chain, scored, start, dataset, folder)


def folder_name(config: RunConfig) -> str:
    """Return a name that changes with whatever changes the weights."""
    decisive = ("data.", "model.", "training.", "seed")
    parts = {key: value for key, value in identity(config).items() if key.startswith(decisive)}
    key = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:8]
    return f"{config.name}-seed{config.seed}-{key}"


def _train(
    suite: Suite, config: RunConfig, dataset: Dataset, folder: Path, progress: Progress
) -> None:
    progress.note(f"Training {suite.name} into {folder}")
    shape, classes = dataset.image_shape, len(dataset.classes)
    model: Any = build(config.model, shape, classes, seed=config.seed)
    if suite.frozen_until is None:
        for _ in train(
            model, dataset, config.training, folder, seed=config.seed, progress=progress
        ):
            pass
    else:
        chain = read_chain(model)
        start = [layer.name for layer in chain.layers].index(suite.frozen_until) + 1
        scored = _scored(suite, dataset, None)
        train_behind(chain, start, scored, seed=config.seed, progress=progress)
    with publishing(folder / "model.keras") as temporary:
        model.save(temporary)


def _scored(suite: Suite, dataset: Dataset, limit: int | None) -> ScoringSet:
    whole = np.sort(np.concatenate(list(dataset.rows.values())))
    rows = dataset.rows[VALIDATION] if suite.frozen_until is None else whole
    if limit is not None and limit < len(rows):
        rows = rows[np.linspace(0, len(rows) - 1, limit).astype(np.intp)]
    return ScoringSet(dataset.images, rows, dataset.labels[rows])
