"""How fast this machine scores a layer: the scorer itself, timed on a few nodes and images."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kvasir_prune.importance.scorer import NO_LIMITS, Scorer
from kvasir_prune.types import Limits, Scored

CANDIDATES = 4
"""Nodes that are timed, spread over the layer."""
PASSES, EVALUATIONS = 2, 2 + 4 * CANDIDATES + 5
"""What the calibration of a layer takes, at most."""


@dataclass(frozen=True)
class LayerSpeed:
    """Seconds on some number of images.

    Attributes:
        start: compiling, which does not depend on the number of images.
        prefix: running the network up to the layer's reader.
        candidate: scoring a node whose loss is wanted.
        bounded: scoring a node that may be given up, as greedy pruning does.
        removal: bringing what is kept up to date after a removal.
    """

    start: float
    prefix: float
    candidate: float
    bounded: float
    removal: float

    def on(self, ratio: float) -> LayerSpeed:
        """Return the speed on so many times the images."""
        return LayerSpeed(
            self.start,
            ratio * self.prefix,
            ratio * self.candidate,
            ratio * self.bounded,
            ratio * self.removal,
        )


class _Timer:
    """Calls a scorer, with a node of another layer out so that a prefix can be run anew."""

    def __init__(self, scorer: Scorer, layer: str, other: str | None) -> None:
        self._scorer, self._layer, self._other = scorer, layer, other

    def took(
        self,
        nodes: Sequence[int],
        *,
        other: int,
        gone: Sequence[int] = (),
        limits: Limits = NO_LIMITS,
    ) -> tuple[float, tuple[Scored, ...]]:
        """Score nodes; return the seconds it took, and the scores."""
        removed: Mapping[str, Sequence[int]] = {} if self._other is None else {self._other: [other]}
        began = time.perf_counter()
        scores = self._scorer.score(
            self._layer, {**removed, self._layer: gone}, nodes, limits=limits
        )
        return time.perf_counter() - began, scores


def time_layer(
    scorer: Scorer, layer: str, nodes: int, *, other: str | None, ignore_below: float | None
) -> LayerSpeed:
    """Time a layer, with `PASSES` passes of the prefix and `EVALUATIONS` evaluations.

    Args:
        scorer: on the images to time.
        layer: the layer.
        nodes: of it.
        other: another layer, of 3 nodes at least; without one the prefix cannot be told from the
            compiling.
        ignore_below: greedy pruning's, None where every loss is wanted.

    Raises:
        NumericalError: a loss is NaN or infinite.
    """
    count = min(CANDIDATES, nodes)
    chosen = [(2 * i + 1) * nodes // (2 * count) for i in range(count)]
    timer = _Timer(scorer, layer, other)
    cold, _ = timer.took(chosen[:1], other=0)
    warm = cold if other is None else timer.took(chosen[:1], other=1)[0]
    # Whatever else the machine does only makes it slower: of two timings the shorter one counts.
    (first, scores), (second, _) = (timer.took(chosen, other=1) for _ in range(2))
    candidate = bounded = min(first, second) / count
    if ignore_below is not None:
        limits = Limits(give_up_above=min(score.loss for score in scores) - ignore_below)
        both = (timer.took(chosen, other=1, limits=limits)[0] for _ in range(2))
        bounded = min(both) / count
    removal = 0.0
    if count == CANDIDATES:
        timer.took(chosen[:1], other=1)
        timer.took(chosen[1:2], other=1, gone=chosen[:1])
        patched, _ = timer.took(chosen[2:3], other=1, gone=chosen[:2])
        removal = max(patched - candidate, 0.0)
    # The first call after a prefix also fills in the losses of the network as it is.
    return LayerSpeed(cold - warm, max(warm - 2 * candidate, 0.0), candidate, bounded, removal)
