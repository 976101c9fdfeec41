"""How many evaluations a pruning job is expected to need: before it starts, and in its middle.

A greedy scan looks at each of a layer's n nodes once. After every removal it starts over and looks
again at the nodes before the removed one that were neither removed nor ignored; with r removals
and m such nodes in random order these are r m / 2 on the average. In nine finished runs (the MLP on
three data sets, the CNN on MNIST and Fashion-MNIST, narrow VGG-16 on endoscopy and on cartoons, the
ANN on digits; 35 layers) n + r m / 2 with the r and m that came of it is 0.74 to 1.52 times the
evaluations made in a layer. But r and m are only known afterwards. With r and m from measured
importances a run's total came out at 0.9 to 1.8 times what it took, with the shares below at 0.5 to
2.2 times; single layers are off by up to a factor of 5.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

from kvasir_prune.config.method import PruningConfig
from kvasir_prune.ledger.state import State
from kvasir_prune.types import LayerSize

REMOVED_SHARE = 0.3
"""Share of a layer's nodes that go, before anything is known; in those runs mostly 5 to 60 %."""
REMOVED_OF_UNIMPORTANT = 0.6
"""Share of the nodes with importance >= low in the whole network that are removed: the more have
gone, the more important are the others; in those runs mostly 10 to 100 %."""
RESCANNED_SHARE = 0.025
"""Share of nodes between low and `ignore_below` where these are `RESCANNED_AT` nats apart; it
grows with the root of the distance: 0 to 9 % at -5e-5, 1 to 40 % at -1e-3."""
RESCANNED_AT = 5e-5


@dataclass(frozen=True)
class Fate:
    """What is expected to become of a layer's nodes.

    Attributes:
        nodes: of the layer.
        removed: how many are removed.
        rescanned: how many are neither removed nor ignored, and looked at again and again.
    """

    nodes: int
    removed: float
    rescanned: float


def fate_of(
    settings: PruningConfig,
    low: float,
    layers: Sequence[LayerSize],
    number: int,
    importances: Sequence[float] = (),
) -> Fate:
    """Return what to expect of a layer.

    Args:
        settings: the strategy and its keys.
        low: smallest importance (nats) at which a node is removed.
        layers: of the job.
        number: index of the layer.
        importances: of all its nodes in the whole network (nats), if they have been measured.
    """
    nodes = layers[number].nodes
    ignore_below = settings.ignore_below if settings.strategy == "greedy" else None
    unimportant = sum(value >= low for value in importances)
    removed = REMOVED_OF_UNIMPORTANT * unimportant if importances else REMOVED_SHARE * nodes
    match settings.strategy:
        case "pre_calculated" if importances:
            removed = unimportant
        case "random":
            removed = (settings.nodes or 0) * nodes / sum(layer.nodes for layer in layers)
        case "random_while_improving":
            removed = min(removed, (settings.tries or 0) * (settings.nodes_at_a_time or 0))
    removed = min(removed, nodes - 1)
    if ignore_below is None:
        return Fate(nodes, removed, nodes - removed)
    if importances:
        rescanned = float(sum(ignore_below < value < low for value in importances))
    else:
        distance = max(low - ignore_below, 0.0)
        rescanned = RESCANNED_SHARE * nodes * sqrt(distance / RESCANNED_AT)
    return Fate(nodes, removed, min(rescanned, nodes - removed))


def evaluations(settings: PruningConfig, fate: Fate) -> float:
    """Return how many candidates a layer is expected to need, from its beginning to its end."""
    n, r = fate.nodes, fate.removed
    match settings.strategy:
        case "greedy":
            return n + r * fate.rescanned / 2
        case "exhaustive":
            return (r + 1) * n - r * (r + 1) / 2
        case "random_while_improving":
            group = settings.nodes_at_a_time or 1
            return (settings.tries or 0) + r * (group - 1) / group
        case _:
            return r


def evaluations_left(settings: PruningConfig, fate: Fate, state: State) -> float:
    """Return how many candidates the layer that a job is in is expected to need still."""
    gone, done = len(state.removed[state.layer]), state.evaluations - state.evaluations_before
    unseen_now = sum(node not in state.looked_at for node in state.remaining)
    match settings.strategy:
        case "greedy":
            return _greedy_left(fate, state)
        case "exhaustive":
            more = max(fate.removed - gone, 0.0)
            return unseen_now + more * (fate.nodes - gone) - more * (more + 1) / 2
        case _:
            return max(evaluations(settings, fate) - done, 0.0)


def _greedy_left(fate: Fate, state: State) -> float:
    """Weigh what was expected with what has been seen, by how much of the layer has been seen."""
    gone, remaining = state.removed[state.layer], state.remaining
    frontier = max((*gone, *state.ignored, *state.looked_at), default=-1)
    position = max(state.looked_at, default=-1)
    seen = (frontier + 1) / fate.nodes
    behind = sum(node <= frontier for node in remaining)
    again = sum(position < node <= frontier for node in remaining)
    removed = len(gone) + (1 - seen) * fate.removed
    rescanned = behind + (1 - seen) * fate.rescanned
    rescans = removed * rescanned / 2 * (1 - seen**2)
    return again + (fate.nodes - 1 - frontier) + rescans
