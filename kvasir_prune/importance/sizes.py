"""How large the exact scorer's steps, blocks and stretches are.

A function of shapes, the budget and the kind of device, never of the clock or of free memory: other
sizes may give other last bits.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import keras
import numpy as np

from kvasir_prune import backend
from kvasir_prune.models.chain import Chain, Hidden
from kvasir_prune.models.work import values_of

LEAST_IMAGES = 16
"""Images of a step before a Conv2D reader, at least."""
PREFIX_STEP_BYTES = 2**27
"""The largest activation of a step of the prefix, about."""
MOST_PLACES = 2**31 - 1
"""Pairs of node and image that a step can tell apart: its places are of 32 bits."""
SEGMENT = 128
"""Images of one candidate that stand together in a step before a Dense reader."""
WHOLE_GROUPS = 3
"""Segments of such a step are a multiple of it, its rows one of 384.

Eigen multiplies matrices by groups of rows, and what is left over at the end with other last bits:
at other numbers of rows a loss depended on its place in the step (tests/test_exact_scorer.py).
"""
FUSED_FROM = 500
"""Steps before a Dense reader, for every node and image once, from which on fusing them pays.

XLA compiles for about half a second and saves from half a millisecond to one and a half of a step;
before a Conv2D reader, where convolutions take most of the time, it saves nothing.
"""
STEPS_PER_BLOCK = 64
"""Steps that a block of candidates before a Dense reader takes at most, about."""
REBUILD_EVERY = 64
"""Removals in a layer between two computations of z from scratch; they keep rounding small."""
BESIDE = 0.25
"""Share of the budget that outputs of layers still to come may take."""
STREAMED_BLOCK = 8
"""Candidates in a block where the prefix has to be run again for each block."""


@dataclass(frozen=True)
class Grain:
    """How much work a step should hold on one kind of device.

    Attributes:
        step_bytes: the largest activation of a step before a Conv2D reader, about.
        most_images: images of such a step.
        least_steps: that all images take before a Conv2D reader; after each of them a candidate
            can be given up.
        packed_step_bytes: the largest activation of a step before a Dense reader.
        enough_segments: up to so many segments such a step takes little longer than its start.
    """

    step_bytes: int
    most_images: int
    least_steps: int
    packed_step_bytes: int
    enough_segments: int


PROCESSOR = Grain(2**24, 1024, 4, 2**22, 48)
"""What a step works on should stay in a cache."""
GPU = Grain(2**28, 8192, 1, 2**28, 192)
"""A step should be long enough that its start and the wait for its result do not matter."""


@dataclass(frozen=True)
class StepShape:
    """The fixed shape of a step: `segments` candidates, `images` images of each."""

    segments: int
    images: int


@dataclass(frozen=True)
class Sizes:
    """The sizes for one layer.

    Attributes:
        step: of the steps over pairs of candidate and image.
        prefix_batch: images per step of the prefix.
        stretch: images whose activations are kept at once; all, if the budget allows.
        block_width: candidates in a call: 1 where one keeps the processor busy.
        fused: whether the steps are so many that fusing their operations pays.
    """

    step: StepShape
    prefix_batch: int
    stretch: int
    block_width: int
    fused: bool

    def halved(self, times: int) -> Sizes:
        """Return sizes with which less memory is needed.

        Steps are halved so many times; what is kept, once less: in stretches the prefix has to be
        run again for every block.
        """
        if times == 0:
            return self
        segments, images = self.step.segments, self.step.images
        if segments == 1:
            step = StepShape(1, max(LEAST_IMAGES, images >> times))
        else:
            groups = max(1, (segments // WHOLE_GROUPS) >> times)
            step = StepShape(WHOLE_GROUPS * groups, images)
        stretch = max(1, self.stretch >> (times - 1))
        width = STREAMED_BLOCK if stretch < self.stretch else self.block_width
        return Sizes(step, max(1, self.prefix_batch >> times), stretch, width, self.fused)


def sizes_for(
    chain: Chain, hidden: Hidden, images: int, *, batch_size: int, budget_bytes: float
) -> Sizes:
    """Choose the sizes for a layer.

    Args:
        chain: the network.
        hidden: the layer.
        images: of the scoring set.
        batch_size: images per step of the prefix, at most.
        budget_bytes: for the activations that are kept.
    """
    grain = GPU if backend.on_gpu() else PROCESSOR
    values = [values_of(chain, place) for place in range(len(chain.layers))]
    # The same for all layers: one's outputs may come from another one's prefix.
    before, after = values[: chain.hidden[-1].consumer], values[hidden.consumer :]
    itemsize = np.dtype(chain.dtype).itemsize
    most = min(images, MOST_PLACES // hidden.nodes)
    stretch = int(np.clip(budget_bytes // kept_bytes(chain, hidden), 1, most))
    prefix_batch = int(np.clip(PREFIX_STEP_BYTES // (itemsize * max(before)), 1, batch_size))
    if isinstance(chain.layers[hidden.consumer], keras.layers.Dense):
        # Of each row the node's own positions are fetched, of each segment their weights.
        fetched = hidden.positions + hidden.positions * values[hidden.consumer] // SEGMENT
        step = _packed_step(grain, itemsize * max(*after, fetched), stretch)
        rows = step.segments * SEGMENT
        width = STEPS_PER_BLOCK * rows // images
        fused = hidden.nodes * images >= FUSED_FROM * rows and not backend.on_gpu()
    else:
        step, width, fused = _single_step(grain, itemsize * max(after), stretch), 1, False
    width = STREAMED_BLOCK if stretch < images else max(1, width)
    return Sizes(step, prefix_batch, stretch, width, fused)


def _packed_step(grain: Grain, bytes_per_image: int, images: int) -> StepShape:
    rows = _power_of_two(grain.packed_step_bytes // bytes_per_image)
    enough = max(2 * -(-images // SEGMENT), grain.enough_segments)
    groups = min(rows // SEGMENT, enough) // WHOLE_GROUPS
    return StepShape(WHOLE_GROUPS * max(1, groups), SEGMENT)


def _single_step(grain: Grain, bytes_per_image: int, images: int) -> StepShape:
    limit = min(grain.step_bytes // bytes_per_image, grain.most_images)
    if grain.least_steps == 1:
        steps = -(-images // max(LEAST_IMAGES, limit))
        return StepShape(1, max(LEAST_IMAGES, -(-images // steps)))
    rows = min(_power_of_two(limit), _power_of_two(images // grain.least_steps))
    return StepShape(1, max(LEAST_IMAGES, rows))


def worth_keeping(
    chain: Chain, hidden: Hidden, images: int, budget_bytes: float
) -> tuple[Hidden, ...]:
    """Return the layers before `hidden`, first to last, whose outputs fit beside its own."""
    left, chosen = BESIDE * budget_bytes, []
    itemsize = np.dtype(chain.dtype).itemsize
    for layer in reversed(chain.hidden[: chain.hidden.index(hidden)]):
        left -= itemsize * images * values_of(chain, layer.consumer - 1)
        if left < 0:
            break
        chosen.append(layer)
    return tuple(reversed(chosen))


def coming_by(
    chain: Chain, layers: Iterable[Hidden], images: int, budget_bytes: float
) -> frozenset[str]:
    """Return the layers whose outputs are known from the prefix of another one.

    Args:
        chain: the network.
        layers: in order of work.
        images: of the scoring set.
        budget_bytes: for the activations that are kept.
    """
    known: set[str] = set()
    for hidden in layers:
        if hidden.name not in known and images * kept_bytes(chain, hidden) <= budget_bytes:
            beside = worth_keeping(chain, hidden, images, budget_bytes)
            known |= {layer.name for layer in beside}
    return frozenset(known)


def kept_bytes(chain: Chain, hidden: Hidden) -> int:
    """Return the bytes that are kept of a layer for one image, at the peak."""
    h, z = values_of(chain, hidden.consumer - 1), values_of(chain, hidden.consumer)
    # Kept are h, z, and z once more while it is patched; h and z pass through the host once.
    return np.dtype(chain.dtype).itemsize * (2 * h + 3 * z)


def _power_of_two(limit: int) -> int:
    """Return the largest power of two up to `limit`, at least 1."""
    return 1 << max(0, int(limit).bit_length() - 1)
