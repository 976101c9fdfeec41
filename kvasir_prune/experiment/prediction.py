"""The seconds that the stages of a run will take in one layer, from how fast it is scored."""

from __future__ import annotations

from collections.abc import Collection

from kvasir_prune.importance.calibration import LayerSpeed
from kvasir_prune.importance.cost_model import Footprint


def measuring_s(speed: LayerSpeed, footprint: Footprint, nodes: int) -> float:
    """Return the seconds for the importance of all nodes of a layer."""
    calls = -(-nodes // footprint.block_width)
    passes = calls if footprint.streamed else 1
    return speed.start + passes * speed.prefix + calls * speed.lead + nodes * speed.candidate


def pruning_s(
    speed: LayerSpeed, footprint: Footprint, scored: float, removed: float, cut: float
) -> float:
    """Return the seconds for the pruning of a layer.

    Args:
        speed: of the layer on the whole scoring set, nothing being removed.
        footprint: of the layer.
        scored: candidates, those in vain included.
        removed: nodes.
        cut: share of the work of an evaluation that is left once the later layers are pruned.
    """
    calls = scored / footprint.block_width + removed + 1
    passes = calls if footprint.streamed else 1
    each = calls * speed.lead + scored * speed.bounded + removed * speed.removal
    return speed.start + passes * speed.prefix + cut * each


def evolution_s(speed: LayerSpeed, splits: Collection[float], removed: float, every: int) -> float:
    """Return the seconds for evaluating every k-th state of a layer again, on all splits.

    Args:
        speed: of the layer on the whole scoring set.
        splits: how many images each split has, as a multiple of the scoring set's.
        removed: nodes.
        every: k; what an evaluation needs is brought up to date at each removal.
    """
    whole, moments = speed.on(sum(splits)), removed / every + 1
    updates = moments * (whole.lead + whole.candidate) + removed * whole.removal
    return len(splits) * speed.start + whole.prefix + updates
