"""A network small enough to work by hand, and a scorer that knows its losses by heart.

The losses of the toy are given for every set of removed nodes, so that a test can write down what
must happen without computing anything.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from kvasir_prune.importance.scorer import NO_LIMITS, Scorer
from kvasir_prune.types import Limits, LossAccuracy, Scored

LossOf = Callable[[frozenset[tuple[str, int]]], float]


class ToyScorer(Scorer):
    """A scorer whose losses are a function of the set of removed (layer, node) pairs.

    So are its accuracies, by `accuracy_of`; they are 0.5 without it.
    """

    def __init__(
        self, loss_of: LossOf, block_width: int = 1, accuracy_of: LossOf = lambda _: 0.5
    ) -> None:
        self.loss_of = loss_of
        self._block_width = block_width
        self.accuracy_of = accuracy_of
        self.asked: list[tuple[str, int]] = []

    def block_width(self, layer: str) -> int:
        return self._block_width

    def evaluate(
        self, removed: Mapping[str, Collection[int]], *, layer: str | None = None
    ) -> LossAccuracy:
        gone = pairs(removed)
        return LossAccuracy(self.loss_of(gone), self.accuracy_of(gone))

    def score(
        self,
        layer: str,
        removed: Mapping[str, Collection[int]],
        nodes: Sequence[int],
        *,
        limits: Limits = NO_LIMITS,
    ) -> tuple[Scored, ...]:
        gone = pairs(removed)
        self.asked += [(layer, node) for node in nodes]
        without = [gone | {(layer, node)} for node in nodes]
        return tuple(
            Scored(node, self.loss_of(left), self.accuracy_of(left))
            for node, left in zip(nodes, without, strict=True)
        )


def pairs(removed: Mapping[str, Collection[int]]) -> frozenset[tuple[str, int]]:
    return frozenset((layer, node) for layer, nodes in removed.items() for node in nodes)
