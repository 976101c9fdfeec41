"""Strategies as pure state machines, and the loop that drives them."""

from kvasir_prune.pruning.exhaustive import Exhaustive
from kvasir_prune.pruning.greedy import Greedy
from kvasir_prune.pruning.loop import prune
from kvasir_prune.pruning.precalculated import PreCalculated
from kvasir_prune.pruning.random_improving import RandomWhileImproving
from kvasir_prune.pruning.random_removal import Random
from kvasir_prune.pruning.strategy import Strategy, Together

__all__ = [
    "Exhaustive",
    "Greedy",
    "PreCalculated",
    "Random",
    "RandomWhileImproving",
    "Strategy",
    "Together",
    "prune",
]
