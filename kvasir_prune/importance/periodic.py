"""A prefix for images that repeat: what is behind it can be timed on many, at the cost of a few."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from kvasir_prune.importance.prefix import LayerOutputs, Prefix
from kvasir_prune.importance.scoring_set import ScoringSet
from kvasir_prune.models.chain import Chain, Hidden


class PeriodicPrefixes:
    """Makes prefixes for a scoring set whose images repeat after `period` of them.

    Args:
        period: images that differ.

    Attributes:
        seconds: what the last pass took, without repeating its outputs.
        spared: how many such passes, in steps, a pass over all images would have taken more.
    """

    def __init__(self, period: int) -> None:
        self.period = period
        self.seconds = self.spared = 0.0

    def __call__(self, chain: Chain, layers: Sequence[Hidden]) -> Prefix:
        """Make one, as `Prefix` is made."""
        return _PeriodicPrefix(chain, layers, self)


class _PeriodicPrefix(Prefix):
    def __init__(self, chain: Chain, layers: Sequence[Hidden], maker: PeriodicPrefixes) -> None:
        super().__init__(chain, layers)
        self._maker = maker

    def run(
        self, weights: Any, scoring_set: ScoringSet, stretch: slice, batch_size: int
    ) -> dict[str, LayerOutputs]:
        """Run one period and repeat its outputs."""
        images = stretch.stop - stretch.start
        once = slice(stretch.start, stretch.start + min(images, self._maker.period))
        began = time.perf_counter()
        found = super().run(weights, scoring_set, once, batch_size)
        self._maker.seconds = time.perf_counter() - began
        steps, done = (-(-count // batch_size) for count in (images, once.stop - once.start))
        self._maker.spared = steps / done - 1
        places = np.arange(images) % (once.stop - once.start)
        return {name: _taken(outputs, places) for name, outputs in found.items()}


def _taken(outputs: LayerOutputs, places: Any) -> LayerOutputs:
    return LayerOutputs(outputs.values[:, places], outputs.active[:, places])
