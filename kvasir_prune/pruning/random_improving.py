"""Random pruning while it improves: try groups, keep those that help (thesis Algorithm 2).

The thesis has one hidden layer; here its algorithm is applied to each layer in turn, as it does
itself with Algorithms 8 and 9.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kvasir_prune.ledger.state import State
from kvasir_prune.pruning.strategy import Strategy, Together
from kvasir_prune.types import Entry, LayerFinished, LossAccuracy, Removed, Scored


@dataclass(frozen=True)
class RandomWhileImproving(Strategy):
    """Try again and again to remove a random group; remove it if `improvement` is > 0.

    One loss decides a try. A group of n that improves costs n - 1 more: the losses without
    its first node, its first two, ..., which the ledger keeps for every removal. A layer ends
    after its tries, or before them when it has no more than n nodes left.

    Attributes:
        seed: of the draws, >= 0.
        nodes_at_a_time: nodes of a group, >= 1 (thesis: 1, 2, 3, 4 and 8).
        tries: groups tried in each layer, >= 1 (thesis: 64).
        number: which of the sequences of draws of the seed, >= 0.
    """

    seed: int
    nodes_at_a_time: int
    tries: int
    number: int = 0

    def next(self, state: State) -> Together | tuple[int, ...]:
        """Return the next group; after one that improves, its first node, its first two, ..."""
        kept = _from_improvement(state)
        tried = self._tried(state, kept)
        if kept:
            group = self._group(state, tried - 1)
            return Together(group[: len(kept)]) if len(kept) < self.nodes_at_a_time else ()
        if tried == self.tries or state.standing <= self.nodes_at_a_time:
            return ()
        return Together(self._group(state, tried))

    def decide(self, state: State, scores: Sequence[Scored]) -> tuple[Entry, ...]:
        """Collect scores; once all of an improving group are there, remove it whole."""
        if scores:
            return tuple(scores)
        kept = _from_improvement(state)
        if not kept:
            return (LayerFinished(state.layer, state.evaluations),)
        entries, before = [], state.current.loss
        for score in (*kept[1:], kept[0]):
            importance = before - score.loss
            entries.append(
                Removed(
                    state.layer,
                    score.node,
                    importance,
                    score.loss,
                    score.accuracy,
                    state.evaluations,
                )
            )
            before = score.loss
        return tuple(entries)

    def _tried(self, state: State, kept: Sequence[Scored]) -> int:
        """Count the layer's tries: its evaluations but for those behind an improvement."""
        n = self.nodes_at_a_time
        behind = len(state.removed[state.layer]) // n * (n - 1) + len(kept[1:])
        return state.evaluations - state.evaluations_before - behind

    def _group(self, state: State, tried: int) -> tuple[int, ...]:
        """Draw a group from the standing nodes: a function of (seed, layer, number of the try)."""
        # A zero behind four numbers would change the draws of runs that have begun.
        number = [self.number] if self.number else []
        generator = np.random.default_rng([self.seed, 2, state.layer, tried, *number])
        drawn = generator.choice(state.remaining, self.nodes_at_a_time, replace=False)
        return tuple(int(node) for node in drawn)


def improvement(best: LossAccuracy, new: LossAccuracy | Scored) -> float:
    """Return (1 - loss / best loss) + (accuracy / best accuracy - 1), Algorithm 2's score.

    Positive: better. A loss or accuracy that stays zero counts as unchanged.
    """
    return (1 - _ratio(new.loss, best.loss)) + (_ratio(new.accuracy, best.accuracy) - 1)


def _ratio(new: float, best: float) -> float:
    if new == best:
        return 1.0
    return new / best if best else math.inf


def _from_improvement(state: State) -> tuple[Scored, ...]:
    """Return the scores from the first that improves: the group's, then those of its parts."""
    for position, score in enumerate(state.scores):
        if improvement(state.current, score) > 0:
            return state.scores[position:]
    return ()
