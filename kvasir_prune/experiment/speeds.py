"""How fast each layer of a network is scored here: the first ones timed, the others judged."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from dataclasses import replace

from kvasir_prune.config import RunConfig
from kvasir_prune.importance.calibration import (
    CANDIDATES,
    EVALUATIONS,
    PASSES,
    LayerSpeed,
    time_layer,
)
from kvasir_prune.importance.cost_model import LayerWork
from kvasir_prune.importance.periodic import PeriodicPrefixes
from kvasir_prune.importance.scorers import scorer_of
from kvasir_prune.importance.scoring_set import ScoringSet
from kvasir_prune.importance.sizes import kept_bytes, sizes_for
from kvasir_prune.models import Chain
from kvasir_prune.models.chain import Hidden
from kvasir_prune.progress import Progress
from kvasir_prune.types import Limits

WORK_PER_LAYER = 6e10
"""Multiply-adds that the calibration of one layer may take before its reader, and from there on,
about: some seconds."""
FEWEST_IMAGES = 8
FILLED_STEPS = 4
"""Before a Dense reader candidates are timed that fill so many steps, if they are active in all
images: several steps behind the first one, that is, if they are in half of them."""
ENOUGH_S = 30.0
"""After so many seconds of calibration the other layers are judged by their work."""

Found = dict[str, tuple[LayerSpeed, int]]
"""Layer name -> its speed on the whole scoring set, and the images it was timed on; 0 if judged."""


class Speeds:
    """Times and judges layers.

    Args:
        config: of the run.
        chain: the network.
        scoring_set: its images.
        work: of every layer, by name.
        progress: told of every layer.
    """

    def __init__(
        self,
        config: RunConfig,
        chain: Chain,
        scoring_set: ScoringSet,
        work: Mapping[str, LayerWork],
        progress: Progress,
    ) -> None:
        self._config, self._chain, self._progress = config, chain, progress
        self._scoring_set, self._work = scoring_set, work
        self._budget = config.importance.memory_budget_gib * 2**30

    def of(self, layers: Collection[Hidden]) -> Found:
        """Return the speed of every layer; those named first are timed.

        Raises:
            NumericalError: a loss is NaN or infinite.
        """
        found: Found = {}
        began = time.monotonic()
        with self._progress.task("Calibration", len(layers)) as task:
            for hidden in layers:
                if time.monotonic() - began < ENOUGH_S:
                    found[hidden.name] = self._timed(hidden)
                else:
                    found[hidden.name] = (self._judged(hidden, found), 0)
                task.advance(layer=hidden.name)
        return found

    def images(self, hidden: Hidden) -> tuple[int, int]:
        """Return how many different images are run up to a layer, and how many from there on.

        A long prefix must not leave so few images that candidates cost no more than their start.
        """
        work, settings = self._work[hidden.name], self._config.importance
        budget = self._budget / kept_bytes(self._chain, hidden)
        behind = PASSES * work.reading + EVALUATIONS * work.evaluation(settings.scorer)
        whole = len(self._scoring_set)
        if settings.scorer == "reference":
            one = PASSES * work.before + behind
            images = _between(min(WORK_PER_LAYER / one, budget), whole)
            return images, images
        images = _between(min(WORK_PER_LAYER / behind, budget), whole)
        return _between(WORK_PER_LAYER / (PASSES * work.before), images), images

    def _timed(self, hidden: Hidden) -> tuple[LayerSpeed, int]:
        period, images = self.images(hidden)
        whole = len(self._scoring_set)
        some = self._scoring_set.every(max(1, whole // period)).first(period).repeated(images)
        prefixes = PeriodicPrefixes(period)
        others = [h.name for h in self._chain.hidden if h.name != hidden.name and h.nodes > 2]
        speed = time_layer(
            scorer_of(self._config.importance, self._chain, some, prefixes=prefixes),
            hidden.name,
            hidden.nodes,
            other=others[0] if others else None,
            limits_of=self._limits,
            candidates=self._candidates(hidden, images),
        )
        if self._config.importance.scorer == "reference":
            # It keeps a layer's outputs and nothing that a removal could change.
            return replace(speed, removal=0.0, base=0.0).on(whole / images), images
        prefix, ready = prefixes.seconds, max(speed.ready - prefixes.seconds, 0.0)
        speed = replace(speed, prefix=(1 + prefixes.spared) * prefix, ready=ready)
        return speed.on(whole / images), images

    def _candidates(self, hidden: Hidden, images: int) -> int:
        settings = self._config.importance
        if settings.scorer == "reference":
            return CANDIDATES
        size, budget = settings.batch_size, self._budget
        step = sizes_for(self._chain, hidden, images, batch_size=size, budget_bytes=budget).step
        each = -(-images // step.images)
        return max(CANDIDATES, -(-FILLED_STEPS * step.segments // each))

    def _limits(self, loss: float) -> Limits:
        """Return what the strategy need not know; `loss` stands for the network as it is."""
        settings = self._config.pruning
        if settings.strategy == "exhaustive":
            return Limits(give_up_above=loss, only_smallest=True)
        if settings.strategy == "greedy" and settings.ignore_below is not None:
            return Limits(give_up_above=loss - settings.ignore_below)
        return Limits()

    def _judged(self, hidden: Hidden, found: Found) -> LayerSpeed:
        """Judge a layer by its work and the mean pace of those that were timed."""
        timed = [(speed, self._work[name]) for name, (speed, images) in found.items() if images]
        scorer = self._config.importance.scorer
        seconds = sum(speed.prefix + speed.ready + speed.candidate for speed, _ in timed)
        pace = seconds / sum(w.prefix_pass + w.evaluation(scorer) for _, w in timed)
        work = self._work[hidden.name]
        start = max(speed.start for speed, _ in timed)
        prefix, ready = pace * work.before, pace * work.reading
        candidate = pace * work.evaluation(scorer)
        if scorer == "reference":
            return LayerSpeed(start, 0.0, prefix, 0.0, candidate, candidate, 0.0, 0.0)
        removal = ready / work.nodes + candidate
        return LayerSpeed(start, prefix, ready, 0.0, candidate, candidate, removal, candidate)


def _between(images: float, most: int) -> int:
    return min(max(int(images), FEWEST_IMAGES), most)
