"""Exhaustive pruning: remove the most removable node of the layer, again and again (Algorithm 8).

Of nodes with equal importance the last one goes, as in the author's code.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kvasir_prune.ledger.state import State
from kvasir_prune.pruning.strategy import Strategy
from kvasir_prune.types import Entry, LayerFinished, Limits, Removed, Scored


@dataclass(frozen=True)
class Exhaustive(Strategy):
    """Score all remaining nodes; remove the one with the largest importance if it is >= low.

    Attributes:
        low: smallest importance (nats) at which a node is removed.
    """

    low: float

    def next(self, state: State) -> tuple[int, ...]:
        """Return the nodes not scored since the last removal; empty where one node is left."""
        if state.standing == 1:
            return ()
        return tuple(node for node in state.remaining if node not in state.looked_at)

    def limits(self, state: State) -> Limits:
        """Return the loss above which a node is not the one to go."""
        known = (score.loss for score in state.scores if not score.is_bound)
        return Limits(min((state.current.loss - self.low, *known)), only_smallest=True)

    def decide(self, state: State, scores: Sequence[Scored]) -> tuple[Entry, ...]:
        """Collect scores; once all are there, remove the best node or finish the layer."""
        if scores:
            return tuple(scores)
        finished = LayerFinished(state.layer, state.evaluations)
        if not state.scores or state.standing == 1:
            return (finished,)
        importances = [state.current.loss - score.loss for score in state.scores]
        importance = max(importances)
        best = state.scores[len(importances) - 1 - importances[::-1].index(importance)]
        if importance < self.low:
            return (finished,)
        return (
            Removed(
                state.layer, best.node, importance, best.loss, best.accuracy, state.evaluations
            ),
        )
