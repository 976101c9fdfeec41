"""Strategies as pure state machines, and the loop that drives them."""

from kvasir_prune.pruning.exhaustive import Exhaustive
from kvasir_prune.pruning.greedy import Greedy
from kvasir_prune.pruning.loop import prune
from kvasir_prune.pruning.strategy import Strategy

__all__ = ["Exhaustive", "Greedy", "Strategy", "prune"]
