"""What a run will need, said beforehand: evaluations, memory and time for every layer."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kvasir_prune.experiment.context import Run
from kvasir_prune.experiment.forecast import fates
from kvasir_prune.experiment.prediction import evolution_s, measuring_s, pruning_s
from kvasir_prune.importance.calibration import EVALUATIONS, PASSES, LayerSpeed, time_layer
from kvasir_prune.importance.cost_model import Footprint, LayerWork, footprint_of, work_of
from kvasir_prune.importance.sizes import kept_bytes
from kvasir_prune.importance.store import ImportanceStore
from kvasir_prune.models import read_chain, weights_of
from kvasir_prune.models.surgery import cut_weights
from kvasir_prune.pruning.expectation import Fate, evaluations
from kvasir_prune.types import LayerSize, Limits

if TYPE_CHECKING:
    from kvasir_prune.models import Chain
    from kvasir_prune.models.chain import Hidden

WORK_PER_LAYER = 6e10
"""Multiply-adds that the calibration of one layer may take, about: a few seconds."""
FEWEST_IMAGES = 8
ENOUGH_S = 30.0
"""After so many seconds of calibration the other layers are judged by their work."""


@dataclass(frozen=True)
class LayerPlan:
    """One layer, before it is worked on.

    Attributes:
        layer: its name and nodes.
        multiply_adds: of one evaluation on all images of the scoring set.
        footprint: what is kept in memory.
        measured_nodes: whose importance is measured.
        evaluations: expected in the pruning.
        removed: nodes expected to be removed.
        importance_s: seconds predicted for measuring importances.
        pruning_s: seconds predicted for the pruning.
        evolution_s: seconds predicted for measuring all splits as nodes go, afterwards.
        timed_images: on which it was timed; 0 where it was judged by its work.
    """

    layer: LayerSize
    multiply_adds: int
    footprint: Footprint
    measured_nodes: int
    evaluations: float
    removed: float
    importance_s: float
    pruning_s: float
    evolution_s: float
    timed_images: int


@dataclass(frozen=True)
class Plan:
    """A whole run from the trained network on.

    Attributes:
        layers: in order of the pruning.
        images: of the scoring set.
        trained: whether the trained network was timed, not the initial weights.
        measured: whether the expectation rests on measured importances.
    """

    layers: tuple[LayerPlan, ...]
    images: int
    trained: bool
    measured: bool

    @property
    def importance_s(self) -> float:
        """Seconds predicted for the importance of all nodes."""
        return sum(layer.importance_s for layer in self.layers)

    @property
    def pruning_s(self) -> float:
        """Seconds predicted for the pruning."""
        return sum(layer.pruning_s for layer in self.layers)

    @property
    def evolution_s(self) -> float:
        """Seconds predicted for the evolution of the loss."""
        return sum(layer.evolution_s for layer in self.layers)


def plan(run: Run) -> Plan:
    """Calibrate and predict; the images are prepared already, nothing is written.

    Raises:
        ModelError: the configuration names a layer that the network does not have.
        NumericalError: the network gives no finite loss.
    """
    run.start_backend()
    trained = run.folder.model.exists()
    chain = run.chain if trained else read_chain(run.new_model())
    store = ImportanceStore(run.folder.importance) if run.folder.importance.exists() else None
    measured = chain.named(run.config.importance.layers)
    job = chain.named(run.config.pruning.layers)[::-1]
    expected = dict(
        zip((h.name for h in job), fates(run.config, [h.size for h in job], store), strict=True)
    )
    planner = _Planner(run, chain, expected)
    speeds = planner.speeds()
    layers = tuple(
        planner.layer(hidden, speeds[hidden.name], hidden in measured)
        for hidden in reversed(chain.hidden)
    )
    known = store is not None and store.complete
    return Plan(layers, planner.images, trained, known)


class _Planner:
    def __init__(self, run: Run, chain: Chain, expected: dict[str, Fate]) -> None:
        self._run, self._chain, self._expected = run, chain, expected
        self._settings = run.config.importance
        self.images = len(run.dataset.rows[self._settings.split])
        weights = weights_of(chain)
        self._work = {h.name: work_of(chain, weights, h) for h in chain.hidden}
        self._cut_work: dict[str, LayerWork] = {}
        removed: dict[str, range] = {}
        for hidden in reversed(chain.hidden):
            cut = cut_weights(chain, weights, removed)
            self._cut_work[hidden.name] = work_of(chain, cut, hidden)
            if hidden.name in expected:
                removed[hidden.name] = range(round(expected[hidden.name].removed))
        self._budget = self._settings.memory_budget_gib * 2**30

    def speeds(self) -> dict[str, tuple[LayerSpeed, int]]:
        """Return layer name -> its speed on the whole scoring set, and the images it was timed on.

        The last layers come first: they are the quickest.
        """
        found: dict[str, tuple[LayerSpeed, int]] = {}
        began = time.monotonic()
        with self._run.progress.task("Calibration", len(self._chain.hidden)) as task:
            for hidden in reversed(self._chain.hidden):
                if time.monotonic() - began < ENOUGH_S:
                    found[hidden.name] = self._timed(hidden)
                else:
                    found[hidden.name] = (self._judged(hidden, found), 0)
                task.advance(layer=hidden.name)
        return found

    def _timed(self, hidden: Hidden) -> tuple[LayerSpeed, int]:
        work = self._work[hidden.name]
        one = PASSES * work.prefix_pass + EVALUATIONS * work.evaluation(self._settings.scorer)
        most = min(WORK_PER_LAYER / one, self._budget / kept_bytes(self._chain, hidden))
        images = min(max(int(most), FEWEST_IMAGES), self.images)
        others = [h.name for h in self._chain.hidden if h.name != hidden.name and h.nodes > 2]
        speed = time_layer(
            self._run.scorer_of(self._chain, self._settings.split, images),
            hidden.name,
            hidden.nodes,
            other=others[0] if others else None,
            limits_of=self._limits,
        )
        return speed.on(self.images / images), images

    def _limits(self, loss: float) -> Limits:
        """Return what the strategy need not know; `loss` stands for the network as it is."""
        settings = self._run.config.pruning
        if settings.strategy == "exhaustive":
            return Limits(give_up_above=loss, only_smallest=True)
        if settings.strategy == "greedy" and settings.ignore_below is not None:
            return Limits(give_up_above=loss - settings.ignore_below)
        return Limits()

    def _judged(self, hidden: Hidden, found: dict[str, tuple[LayerSpeed, int]]) -> LayerSpeed:
        """Judge a layer by its work and the mean pace of those that were timed."""
        timed = [(speed, self._work[name]) for name, (speed, images) in found.items() if images]
        scorer = self._settings.scorer
        seconds = sum(speed.prefix + speed.candidate for speed, _ in timed)
        pace = seconds / sum(w.prefix_pass + w.evaluation(scorer) for _, w in timed)
        work = self._work[hidden.name]
        candidate = pace * work.evaluation(scorer)
        start = max(speed.start for speed, _ in timed)
        removal = pace * work.reading / work.nodes
        return LayerSpeed(start, pace * work.prefix_pass, 0.0, candidate, candidate, removal)

    def layer(self, hidden: Hidden, timed: tuple[LayerSpeed, int], is_measured: bool) -> LayerPlan:
        """Return what one layer will need."""
        speed, images = timed
        scorer, fate = self._settings.scorer, self._expected.get(hidden.name)
        work, cut = (w[hidden.name].evaluation(scorer) for w in (self._work, self._cut_work))
        footprint = footprint_of(
            self._chain,
            hidden,
            self.images,
            scorer=scorer,
            batch_size=self._settings.batch_size,
            budget_bytes=self._budget,
        )
        settings, rows = self._run.config.pruning, self._run.dataset.rows
        expected = evaluations(settings, fate) if fate else 0.0
        in_vain = fate.removed * footprint.in_vain if fate and settings.strategy == "greedy" else 0
        share, every = cut / work, self._run.config.evaluation.every_removals
        counts = [len(split) / self.images for split in rows.values()]
        return LayerPlan(
            hidden.size,
            work * self.images,
            footprint,
            hidden.nodes if is_measured else 0,
            expected,
            fate.removed if fate else 0.0,
            measuring_s(speed, footprint, hidden.nodes) if is_measured else 0.0,
            pruning_s(speed, footprint, expected + in_vain, fate.removed, share) if fate else 0.0,
            evolution_s(speed, counts, fate.removed, every) if fate else 0.0,
            images,
        )
