"""A network small enough to work by hand, and a scorer that knows its losses by heart.

The losses of the toy are given for every set of removed nodes, so that a test can write down what
must happen without computing anything.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from kvasir_prune.types import LossAccuracy, Scored

LossOf = Callable[[frozenset[tuple[str, int]]], float]


class ToyScorer:
    """A scorer whose losses are a function of the set of removed (layer, node) pairs."""

    def __init__(self, loss_of: LossOf, block_width: int = 1) -> None:
        self.loss_of = loss_of
        self._block_width = block_width
        self.asked: list[tuple[str, int]] = []

    def block_width(self, layer: str) -> int:
        return self._block_width

    def evaluate(self, removed: Mapping[str, Collection[int]]) -> LossAccuracy:
        return LossAccuracy(self.loss_of(pairs(removed)), 0.5)

    def score(
        self,
        layer: str,
        removed: Mapping[str, Collection[int]],
        nodes: Sequence[int],
        *,
        give_up_above: float | None = None,
    ) -> tuple[Scored, ...]:
        gone = pairs(removed)
        self.asked += [(layer, node) for node in nodes]
        return tuple(Scored(n, self.loss_of(gone | {(layer, n)}), 0.5) for n in nodes)


def pairs(removed: Mapping[str, Collection[int]]) -> frozenset[tuple[str, int]]:
    return frozenset((layer, node) for layer, nodes in removed.items() for node in nodes)
