"""The seconds that the stages of a run will take in one layer, from how fast it is scored."""

from __future__ import annotations

from collections.abc import Collection

from kvasir_prune.importance.calibration import LayerSpeed
from kvasir_prune.importance.cost_model import Footprint
from kvasir_prune.importance.sizes import REBUILD_EVERY


def measuring_s(speed: LayerSpeed, footprint: Footprint, nodes: int, *, verify_every: int) -> float:
    """Return the seconds for the importance of all nodes of a layer.

    Args:
        speed: of the layer on the whole scoring set, nothing being removed.
        footprint: of the layer.
        nodes: of the layer.
        verify_every: every so manieth loss is computed twice, in a call of its own; 0: none.
    """
    blocks, twice = -(-nodes // footprint.block_width), computed_twice(nodes, verify_every)
    calls = blocks + min(blocks, twice)
    passes = calls if footprint.streamed else 1
    each = calls * speed.lead + (nodes + twice) * speed.candidate
    return speed.start + passes * speed.prefix + each


def computed_twice(losses: float, verify_every: int) -> float:
    """Return how many of these losses are computed twice; `verify_every` 0: none."""
    return losses / verify_every if verify_every else 0.0


def pruning_s(
    speed: LayerSpeed, footprint: Footprint, scored: float, removed: float, cut: float
) -> float:
    """Return the seconds for the pruning of a layer.

    Args:
        speed: of the layer on the whole scoring set, nothing being removed.
        footprint: of the layer.
        scored: candidates, those in vain and those computed twice included.
        removed: nodes.
        cut: share of the work of an evaluation that is left once the later layers are pruned.
    """
    calls = scored / footprint.block_width + removed + 1
    passes = calls if footprint.streamed else 1
    # Where nothing is kept, every call repeats the removals since z was last computed from scratch.
    updates = calls * min(removed, REBUILD_EVERY) / 2 if footprint.streamed else removed
    each = calls * speed.lead + scored * speed.bounded + updates * speed.removal
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
