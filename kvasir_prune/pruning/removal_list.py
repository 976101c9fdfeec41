"""Removing what was chosen beforehand: one node after the other, each loss measured.

The thesis zeroes all chosen nodes at once and measures the end. One evaluation for each removal is
what keeps every `Removed` of the ledger true: its loss is the network's without that node.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from kvasir_prune.ledger.state import State
from kvasir_prune.types import Entry, LayerFinished, Removed, Scored


def next_chosen(state: State, chosen: Collection[int]) -> tuple[int, ...]:
    """Return the first chosen node of the current layer that still stands; empty if none does.

    Only one: the loss of a second would be its loss with the first one present.
    """
    return tuple(node for node in state.remaining if node in chosen)[:1]


def remove(state: State, scores: Sequence[Scored]) -> tuple[Entry, ...]:
    """Remove the scored node whatever its loss; without one, finish the layer."""
    if not scores:
        return (LayerFinished(state.layer, state.evaluations),)
    score = scores[0]
    importance = state.current.loss - score.loss
    count = state.evaluations + 1
    return (Removed(state.layer, score.node, importance, score.loss, score.accuracy, count),)
