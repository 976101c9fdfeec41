"""How fast this machine scores a layer: the scorer itself, timed on a few nodes and images."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from kvasir_prune.importance.scorer import NO_LIMITS, Scorer
from kvasir_prune.types import Limits, Scored

CANDIDATES = 4
"""Nodes that are timed, spread over the layer, at least."""
PASSES, EVALUATIONS = 2, 4 * CANDIDATES + 16
"""What the calibration of a layer takes, at most, where so many nodes are timed."""


@dataclass(frozen=True)
class LayerSpeed:
    """Seconds on some number of images.

    Attributes:
        start: compiling, which does not depend on the number of images.
        prefix: running the network up to the layer's outputs.
        ready: making it ready from there on, the first evaluation of the network as it is excluded.
        lead: what a call of the scorer takes before its first candidate.
        candidate: scoring a node whose loss is wanted.
        bounded: scoring a node of which the strategy need not know everything.
        removal: bringing what is kept up to date after a removal, and evaluating the network anew.
        base: evaluating the network as it is where nothing is kept.
    """

    start: float
    prefix: float
    ready: float
    lead: float
    candidate: float
    bounded: float
    removal: float
    base: float

    def on(self, ratio: float) -> LayerSpeed:
        """Return the speed on so many times the images."""
        return LayerSpeed(
            self.start,
            ratio * self.prefix,
            ratio * self.ready,
            ratio * self.lead,
            ratio * self.candidate,
            ratio * self.bounded,
            ratio * self.removal,
            ratio * self.base,
        )


class _Timer:
    """Calls a scorer, with a node of another layer out so that a prefix can be run anew."""

    def __init__(self, scorer: Scorer, layer: str, other: str | None) -> None:
        self._scorer, self._layer, self._other = scorer, layer, other
        self.scores: tuple[Scored, ...] = ()

    def took(
        self,
        nodes: Sequence[int],
        *,
        other: int = 1,
        gone: Sequence[int] = (),
        limits: Limits = NO_LIMITS,
    ) -> float:
        """Score nodes; return the seconds it took."""
        removed: Mapping[str, Sequence[int]] = {} if self._other is None else {self._other: [other]}
        began = time.perf_counter()
        self.scores = self._scorer.score(
            self._layer, {**removed, self._layer: gone}, nodes, limits=limits
        )
        return time.perf_counter() - began

    def took_at_best(self, nodes: Sequence[int], limits: Limits = NO_LIMITS) -> float:
        """Do it twice; whatever else the machine does only makes it slower."""
        return min(self.took(nodes, limits=limits) for _ in range(2))


def time_layer(
    scorer: Scorer,
    layer: str,
    nodes: int,
    *,
    other: str | None,
    limits_of: Callable[[float], Limits],
    candidates: int = CANDIDATES,
) -> LayerSpeed:
    """Time a layer, with `PASSES` passes of the prefix and about `EVALUATIONS` evaluations.

    The passes count as `ready`; what of that is `prefix` the scorer alone knows.

    Args:
        scorer: on the images to time.
        layer: the layer.
        nodes: of it.
        other: another layer, of 3 nodes at least; without one the prefix cannot be told from the
            compiling.
        limits_of: what the strategy need not know where the smallest loss is so large (nats).
        candidates: nodes that are timed; enough to fill more than one step, where they share steps.

    Raises:
        NumericalError: a loss is NaN or infinite.
    """
    count = min(candidates, nodes)
    chosen = [(2 * i + 1) * nodes // (2 * count) for i in range(count)]
    timer = _Timer(scorer, layer, other)
    cold = timer.took(chosen[:1], other=0)
    warm = cold if other is None else timer.took(chosen[:1])
    single, several = timer.took_at_best(chosen[:1]), timer.took_at_best(chosen)
    candidate = single if count == 1 else max(several - single, 0.0) / (count - 1)
    lead = max(single - candidate, 0.0)
    bounded = _bounded(timer, chosen, limits_of, lead) or candidate
    removal = 0.0
    if count >= CANDIDATES:
        timer.took(chosen[1:2], gone=chosen[:1])
        removal = max(timer.took(chosen[2:3], gone=chosen[:2]) - single, 0.0)
    # The first call after a prefix also evaluates the network as it is, to compare and to sort.
    ready = max(warm - single - candidate, 0.0)
    return LayerSpeed(cold - warm, 0.0, ready, lead, candidate, bounded, removal, candidate)


def _bounded(
    timer: _Timer, chosen: Sequence[int], limits_of: Callable[[float], Limits], lead: float
) -> float | None:
    """Time candidates that may be given up, the one with the smallest loss left out."""
    best = min(timer.scores, key=lambda score: score.loss)
    limits, others = limits_of(best.loss), [node for node in chosen if node != best.node]
    if math.isinf(limits.give_up_above) or not others:
        return None
    return max(timer.took_at_best(others, limits) - lead, 0.0) / len(others)
