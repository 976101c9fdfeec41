"""The state of a pruning job: a fold over the ledger's entries, nothing accumulated beside it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import reduce

from kvasir_prune.types import (
    Entry,
    Halved,
    Ignored,
    LayerFinished,
    LayerSize,
    LossAccuracy,
    Removed,
    Scored,
)


@dataclass(frozen=True)
class State:
    """Where a pruning job stands.

    Attributes:
        layers: the layers to prune, in order of work (last hidden layer first).
        current: loss and accuracy of the network as pruned so far, on the scoring set.
        layer: index into `layers` of the layer being worked on; `len(layers)` at the end.
        removed: per layer, the removed nodes in order of removal.
        ignored: nodes of the current layer that are not looked at again.
        looked_at: nodes of the current layer scored since the last event, and the node of that
            event if it was ignored; the largest is where a scan in index order stands.
        scores: what has been scored since the last removal or ignored node, in order.
        evaluations: candidates scored since the beginning of the run.
        evaluations_before: how many of them in layers that are finished.
        halvings: how often the current layer's steps were halved for want of memory.
    """

    layers: tuple[LayerSize, ...]
    current: LossAccuracy
    layer: int = 0
    removed: tuple[tuple[int, ...], ...] = ()
    ignored: frozenset[int] = frozenset()
    looked_at: frozenset[int] = frozenset()
    scores: tuple[Scored, ...] = ()
    evaluations: int = 0
    evaluations_before: int = 0
    halvings: int = 0

    @property
    def finished(self) -> bool:
        """Whether every layer is done."""
        return self.layer == len(self.layers)

    @property
    def remaining(self) -> tuple[int, ...]:
        """Nodes of the current layer that are neither removed nor ignored, in index order."""
        gone = self.ignored.union(self.removed[self.layer])
        return tuple(node for node in range(self.layers[self.layer].nodes) if node not in gone)

    @property
    def standing(self) -> int:
        """How many nodes of the current layer are not removed (ignored ones included)."""
        return self.layers[self.layer].nodes - len(self.removed[self.layer])

    @property
    def removals(self) -> int:
        """How many nodes are removed in all layers."""
        return sum(map(len, self.removed))

    def removed_by_name(self) -> dict[str, tuple[int, ...]]:
        """Return layer name -> removed nodes, for layers that lost any."""
        return {
            layer.name: nodes
            for layer, nodes in zip(self.layers, self.removed, strict=True)
            if nodes
        }


def initial(layers: tuple[LayerSize, ...], baseline: LossAccuracy) -> State:
    """Return the state before anything was scored."""
    return State(layers=layers, current=baseline, removed=((),) * len(layers))


def fold(state: State, entries: Iterable[Entry]) -> State:
    """Return the state after `entries`, taken in order."""
    return reduce(_step, entries, state)


def _step(state: State, entry: Entry) -> State:
    match entry:
        case Scored():
            return replace(
                state,
                scores=(*state.scores, entry),
                looked_at=state.looked_at | {entry.node},
                evaluations=state.evaluations + 1,
            )
        case Ignored():
            return replace(
                state,
                ignored=state.ignored | {entry.node},
                looked_at=frozenset({entry.node}),
                scores=(),
                evaluations=entry.evaluations,
            )
        case Removed():
            nodes = (*state.removed[entry.layer], entry.node)
            return replace(
                state,
                current=LossAccuracy(entry.loss, entry.accuracy),
                removed=(*state.removed[: entry.layer], nodes, *state.removed[entry.layer + 1 :]),
                looked_at=frozenset(),
                scores=(),
                evaluations=entry.evaluations,
            )
        case LayerFinished():
            return replace(
                state,
                layer=entry.layer + 1,
                ignored=frozenset(),
                looked_at=frozenset(),
                scores=(),
                evaluations=entry.evaluations,
                evaluations_before=entry.evaluations,
                halvings=0,
            )
        case Halved():
            return replace(state, halvings=state.halvings + 1)
