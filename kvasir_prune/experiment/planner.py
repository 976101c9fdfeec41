"""Calibrating the layers of a network and predicting what each of them will need."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from kvasir_prune.config import RunConfig
from kvasir_prune.experiment.forecast import fates
from kvasir_prune.experiment.prediction import computed_twice, evolution_s, measuring_s, pruning_s
from kvasir_prune.experiment.speeds import Speeds
from kvasir_prune.importance.calibration import LayerSpeed
from kvasir_prune.importance.cost_model import Footprint, LayerWork, footprint_of, work_of
from kvasir_prune.importance.scoring_set import ScoringSet
from kvasir_prune.importance.sizes import coming_by
from kvasir_prune.importance.store import ImportanceStore
from kvasir_prune.models import Chain, weights_of
from kvasir_prune.models.chain import Hidden
from kvasir_prune.models.surgery import cut_weights
from kvasir_prune.progress import Progress
from kvasir_prune.pruning.expectation import Fate, evaluations
from kvasir_prune.types import LayerSize


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
        timed_images: on which it was timed, a few of them up to its outputs; 0 where it was judged
            by its work.
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


class Planner:
    """Plans the layers that a run measures or prunes.

    Args:
        config: of the run.
        chain: the network.
        scoring_set: its images.
        splits: images of every split.
        store: importances measured before, as far as there are any.
        progress: told of every layer.
    """

    def __init__(
        self,
        config: RunConfig,
        chain: Chain,
        scoring_set: ScoringSet,
        *,
        splits: Collection[int],
        store: ImportanceStore | None,
        progress: Progress,
    ) -> None:
        self._config, self._chain = config, chain
        self._scoring_set, self._splits = scoring_set, tuple(splits)
        self._measured = chain.named(config.importance.layers)
        self._job = chain.named(config.pruning.layers)[::-1]
        sizes = [hidden.size for hidden in self._job]
        names = [hidden.name for hidden in self._job]
        self._expected = dict(zip(names, fates(config, sizes, store), strict=True))
        self._work, self._cut_work = self._count_work()
        self._speeds = Speeds(config, chain, scoring_set, self._work, progress)
        self._budget = config.importance.memory_budget_gib * 2**30
        self._known_measuring = self._coming_by(self._measured[::-1])
        self._known_pruning = self._coming_by(self._job)

    def layers(self) -> tuple[LayerPlan, ...]:
        """Return what each layer will need, in order of the pruning."""
        worked_on = [h for h in self._chain.hidden if h in self._measured or h in self._job][::-1]
        # The last layers come first: they are the quickest to time.
        speeds = self._speeds.of(worked_on)
        return tuple(self._layer(hidden, *speeds[hidden.name]) for hidden in worked_on)

    def _count_work(self) -> tuple[dict[str, LayerWork], dict[str, LayerWork]]:
        """Return the work of every layer, and what is left of it once the later ones are pruned."""
        chain, weights = self._chain, weights_of(self._chain)
        whole = {h.name: work_of(chain, weights, h) for h in chain.hidden}
        cut: dict[str, LayerWork] = {}
        removed: dict[str, range] = {}
        for hidden in reversed(chain.hidden):
            cut[hidden.name] = work_of(chain, cut_weights(chain, weights, removed), hidden)
            if hidden.name in self._expected:
                removed[hidden.name] = range(round(self._expected[hidden.name].removed))
        return whole, cut

    def _layer(self, hidden: Hidden, speed: LayerSpeed, timed_images: int) -> LayerPlan:
        settings, images = self._config.importance, len(self._scoring_set)
        work = self._work[hidden.name].evaluation(settings.scorer)
        footprint = self._footprint(hidden, images)
        fate, is_measured = self._expected.get(hidden.name), hidden in self._measured
        needed = evaluations(self._config.pruning, fate) if fate else 0.0
        pruning, evolution = self._removing(hidden, speed, footprint, fate, needed)
        every = self._config.pruning.verify_every
        comes_by = hidden.name in self._known_measuring
        measuring = measuring_s(
            speed, footprint, hidden.nodes, verify_every=every, comes_by=comes_by
        )
        return LayerPlan(
            hidden.size,
            work * images,
            footprint,
            hidden.nodes if is_measured else 0,
            needed,
            fate.removed if fate else 0.0,
            measuring if is_measured else 0.0,
            pruning,
            evolution,
            timed_images,
        )

    def _removing(
        self,
        hidden: Hidden,
        speed: LayerSpeed,
        footprint: Footprint,
        fate: Fate | None,
        needed: float,
    ) -> tuple[float, float]:
        """Return the seconds for the pruning of a layer and for the evolution behind it."""
        if fate is None:
            return 0.0, 0.0
        scorer, settings = self._config.importance.scorer, self._config.pruning
        work, cut = (w[hidden.name].evaluation(scorer) for w in (self._work, self._cut_work))
        in_vain = fate.removed * footprint.in_vain if settings.strategy == "greedy" else 0.0
        scored = needed + in_vain + computed_twice(fate.removed, settings.verify_every)
        images = len(self._scoring_set)
        comes_by = hidden.name in self._known_pruning
        splits = [(n / images, self._footprint(hidden, n).streamed) for n in self._splits]
        return (
            pruning_s(speed, footprint, scored, fate.removed, cut=cut / work, comes_by=comes_by),
            evolution_s(speed, splits, fate.removed, self._config.evaluation.every_removals),
        )

    def _footprint(self, hidden: Hidden, images: int) -> Footprint:
        settings = self._config.importance
        return footprint_of(
            self._chain,
            hidden,
            images,
            scorer=settings.scorer,
            batch_size=settings.batch_size,
            budget_bytes=self._budget,
        )

    def _coming_by(self, layers: Collection[Hidden]) -> frozenset[str]:
        """Return the layers whose outputs are known when they are worked on, in this order."""
        if self._config.importance.scorer == "reference":
            return frozenset()
        return coming_by(self._chain, layers, len(self._scoring_set), self._budget)
