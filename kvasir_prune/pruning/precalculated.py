"""Pruning by pre-calculated importance: measure once, remove all unimportant (Algorithm 3).

Redundant nodes look unimportant each by itself and go together, so the network usually becomes
worse (thesis section 4.5.3): this is the strategy that the others are compared with.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kvasir_prune.ledger.state import State
from kvasir_prune.pruning.removal_list import next_chosen, remove
from kvasir_prune.pruning.strategy import Strategy
from kvasir_prune.types import Entry, Scored


@dataclass(frozen=True)
class PreCalculated(Strategy):
    """Remove all nodes whose importance in the whole network is >= low, in index order.

    Where that is a whole layer, its most important node (the first of equals) stays; the thesis
    would cut the network in two.

    Attributes:
        low: smallest importance (nats) at which a node is removed.
        importances: for each layer of the job, in its order, the importance (nats) of every node
            by index, measured with all other nodes of the network present (Algorithm 4).
    """

    low: float
    importances: tuple[tuple[float, ...], ...]

    def next(self, state: State) -> tuple[int, ...]:
        """Return the next unimportant node, to learn the loss without it."""
        return next_chosen(state, self._unimportant(state.layer))

    def decide(self, state: State, scores: Sequence[Scored]) -> tuple[Entry, ...]:
        """Remove the node, whatever it is worth by now, or finish the layer."""
        return remove(state, scores)

    def _unimportant(self, layer: int) -> frozenset[int]:
        values = self.importances[layer]
        unimportant = frozenset(node for node, value in enumerate(values) if value >= self.low)
        if len(unimportant) == len(values):
            return unimportant - {values.index(min(values))}
        return unimportant
