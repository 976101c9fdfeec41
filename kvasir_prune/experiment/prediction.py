"""The seconds that the stages of a run will take in one layer, from how fast it is scored."""

from __future__ import annotations

from collections.abc import Collection

from kvasir_prune.importance.calibration import LayerSpeed
from kvasir_prune.importance.cost_model import Footprint
from kvasir_prune.importance.sizes import REBUILD_EVERY


def measuring_s(
    speed: LayerSpeed,
    footprint: Footprint,
    nodes: int,
    *,
    verify_every: int,
    comes_by: bool = False,
) -> float:
    """Return the seconds for the importance of all nodes of a layer.

    Args:
        speed: of the layer on the whole scoring set, nothing being removed.
        footprint: of the layer.
        nodes: of the layer.
        verify_every: every so manieth loss is computed twice, in a call of its own; 0: none.
        comes_by: whether the layer's outputs are known from a later layer's prefix.
    """
    blocks, twice = -(-nodes // footprint.block_width), computed_twice(nodes, verify_every)
    calls = blocks + min(blocks, twice)
    ready = _readying_s(speed, footprint.streamed, calls, comes_by=comes_by)
    return ready + calls * speed.lead + (nodes + twice) * speed.candidate


def computed_twice(losses: float, verify_every: int) -> float:
    """Return how many of these losses are computed twice; `verify_every` 0: none."""
    return losses / verify_every if verify_every else 0.0


def pruning_s(
    speed: LayerSpeed,
    footprint: Footprint,
    scored: float,
    removed: float,
    *,
    cut: float,
    comes_by: bool = False,
) -> float:
    """Return the seconds for the pruning of a layer.

    Args:
        speed: of the layer on the whole scoring set, nothing being removed.
        footprint: of the layer.
        scored: candidates, those in vain and those computed twice included.
        removed: nodes.
        cut: share of the work of an evaluation that is left once the later layers are pruned.
        comes_by: whether the layer's outputs are known from a later layer's prefix.
    """
    # A removal ends a call, and what is behind it is in vain; of a streamed block, all of it.
    calls = scored / footprint.block_width + (0 if footprint.streamed else removed) + 1
    ready = _readying_s(speed, footprint.streamed, calls, comes_by=comes_by)
    updates = _updates_s(speed, footprint.streamed, calls, removed)
    return ready + cut * (calls * speed.lead + scored * speed.bounded + updates)


def evolution_s(
    speed: LayerSpeed, splits: Collection[tuple[float, bool]], removed: float, every: int
) -> float:
    """Return the seconds for evaluating every k-th state of a layer again, on all splits.

    Args:
        speed: of the layer on the whole scoring set.
        splits: how many images each split has, as a multiple of the scoring set's, and whether
            the layer is streamed on them.
        removed: nodes.
        every: k; what an evaluation needs is brought up to date at each removal.
    """
    total, moments = 0.0, removed / every + 1
    for ratio, streamed in splits:
        own = speed.on(ratio)
        ready = _readying_s(own, streamed, moments, comes_by=False)
        updates = _updates_s(own, streamed, moments, removed)
        total += ready + moments * (own.lead + own.candidate) + updates
    return total


def _readying_s(speed: LayerSpeed, streamed: bool, calls: float, *, comes_by: bool) -> float:
    """Return the seconds until candidates can be scored: once, or anew for every call."""
    prefix = 0.0 if comes_by else speed.prefix
    if streamed:
        return speed.start + calls * (prefix + speed.ready + speed.base)
    return speed.start + prefix + speed.ready


def _updates_s(speed: LayerSpeed, streamed: bool, calls: float, removed: float) -> float:
    """Return the seconds for following removals.

    Where nothing is kept, every call repeats those since z was last computed from scratch, and
    evaluates the network as it is behind the last one.
    """
    if not streamed:
        return removed * speed.removal
    again = min(removed, REBUILD_EVERY) / 2
    return calls * (again * max(speed.removal - speed.base, 0.0) + min(again, 1) * speed.base)
