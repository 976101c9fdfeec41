"""Random pruning: remove a given number of nodes, drawn at random (thesis Algorithm 1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kvasir_prune.ledger.state import State
from kvasir_prune.pruning.removal_list import next_chosen, remove
from kvasir_prune.pruning.strategy import Strategy
from kvasir_prune.types import Entry, LayerSize, Scored


@dataclass(frozen=True)
class Random(Strategy):
    """Remove `nodes` nodes, drawn without replacement from all layers of the job at once.

    They are removed layer by layer, in index order; for the network that is left the order means
    nothing. A layer's last node is passed over in the draw.

    Attributes:
        seed: of the draw, >= 0.
        nodes: how many to remove, at most all but one of every layer.
        number: which of the draws of the seed, >= 0.
    """

    seed: int
    nodes: int
    number: int = 0

    def next(self, state: State) -> tuple[int, ...]:
        """Return the next drawn node, to learn the loss without it."""
        return next_chosen(state, self._drawn(state)[state.layer])

    def decide(self, state: State, scores: Sequence[Scored]) -> tuple[Entry, ...]:
        """Remove the node, whatever it is worth, or finish the layer."""
        return remove(state, scores)

    def _drawn(self, state: State) -> tuple[frozenset[int], ...]:
        return draw(self.seed, state.layers, self.nodes, self.number)


def draw(
    seed: int, layers: Sequence[LayerSize], nodes: int, number: int = 0
) -> tuple[frozenset[int], ...]:
    """Return the nodes drawn from each layer, `nodes` in all, in a draw of some number.

    A function of its arguments: a resumed job draws again, and draws the same. Within one layer
    every choice is equally likely.

    Raises:
        ValueError: the layers cannot lose so many, one node of each staying.
    """
    if nodes > (available := sum(layer.nodes - 1 for layer in layers)):
        raise ValueError(f"{nodes} nodes to remove, but the layers can lose {available}")
    owners = np.repeat(np.arange(len(layers)), [layer.nodes for layer in layers])
    starts = np.cumsum([0, *(layer.nodes for layer in layers)])
    drawn: list[set[int]] = [set() for _ in layers]
    left = nodes
    # The algorithm's number keeps its draws apart from those of the other one.
    for position in np.random.default_rng([seed, 1, number]).permutation(len(owners)):
        layer = int(owners[position])
        if left and len(drawn[layer]) < layers[layer].nodes - 1:
            drawn[layer].add(int(position - starts[layer]))
            left -= 1
    return tuple(frozenset(of_layer) for of_layer in drawn)
