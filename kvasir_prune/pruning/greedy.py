"""Greedy pruning: remove the first removable node and start over (thesis Algorithm 9).

Three slips of the printed algorithm are not copied: it never updates the loss it compares with,
it zeroes `best_pos` where it means `current_pos`, and its `>` is the author's code's `>=`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from kvasir_prune.ledger.state import State
from kvasir_prune.pruning.strategy import Strategy
from kvasir_prune.types import Entry, Ignored, LayerFinished, Limits, Removed, Scored


@dataclass(frozen=True)
class Greedy(Strategy):
    """Scan a layer's remaining nodes in index order; remove the first with importance >= low.

    Attributes:
        low: smallest importance (nats) at which a node is removed.
        ignore_below: a node with an importance at or below it is not looked at again in its
            layer; None looks at every node again after every removal.
    """

    low: float
    ignore_below: float | None

    def next(self, state: State) -> tuple[int, ...]:
        """Return what is ahead of the scan; empty at its end, and where one node is left."""
        if state.standing == 1:
            return ()
        position = max(state.looked_at, default=-1)
        return tuple(node for node in state.remaining if node > position)

    def limits(self, state: State) -> Limits:
        """Return the loss from which on a node is ignored, and the one up to which it goes.

        A removal makes the scores behind it worthless.
        """
        ignored = math.inf if self.ignore_below is None else state.current.loss - self.ignore_below
        return Limits(ignored, state.current.loss - self.low)

    def decide(self, state: State, scores: Sequence[Scored]) -> tuple[Entry, ...]:
        """Keep, ignore or remove, up to the first removal."""
        if not scores:
            return (LayerFinished(state.layer, state.evaluations),)
        entries: list[Entry] = []
        for count, score in enumerate(scores, start=state.evaluations + 1):
            importance = state.current.loss - score.loss
            if importance >= self.low:
                entries.append(
                    Removed(state.layer, score.node, importance, score.loss, score.accuracy, count)
                )
                break
            if self.ignore_below is not None and importance <= self.ignore_below:
                entries.append(Ignored(state.layer, score.node, importance, count, score.is_bound))
            else:
                entries.append(score)
        return tuple(entries)
