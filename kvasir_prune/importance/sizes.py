"""How large the exact scorer's steps, blocks and stretches are: a function of shapes and budget.

Never of the clock or of free memory: other sizes may give other last bits.
"""

from __future__ import annotations

from dataclasses import dataclass

import keras
import numpy as np

from kvasir_prune.models.chain import Chain, Hidden
from kvasir_prune.models.work import values_of

STEP_BYTES = 2**23
"""The largest activation of a step before a Conv2D reader, about."""
LEAST_IMAGES, MOST_IMAGES = 16, 1024
"""Images of such a step."""
PACKED_STEP_BYTES = 2**22
"""The largest activation of a step before a Dense reader: it should stay in a cache."""
PREFIX_STEP_BYTES = 2**27
"""The largest activation of a step of the prefix, about."""
SEGMENT = 128
"""Images of one candidate that stand together in a step before a Dense reader."""
WHOLE_GROUPS = 3
"""Segments of such a step are a multiple of it, its rows one of 384.

Eigen multiplies matrices by groups of rows, and what is left over at the end with other last bits:
at other numbers of rows a loss depended on its place in the step (tests/test_exact_scorer.py).
"""
ENOUGH_SEGMENTS = 48
"""Up to so many segments a step takes little longer than its start."""
STEPS_PER_BLOCK = 64
"""Steps that a block of candidates before a Dense reader takes at most, about."""
BESIDE = 0.25
"""Share of the budget that outputs of layers still to come may take."""
STREAMED_BLOCK = 8
"""Candidates in a block where the prefix has to be run again for each block."""


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
    """

    step: StepShape
    prefix_batch: int
    stretch: int
    block_width: int

    def halved(self, times: int) -> Sizes:
        """Return sizes with which about 2**times times less memory is needed."""
        if times == 0:
            return self
        segments, images = self.step.segments, self.step.images
        if segments == 1:
            step = StepShape(1, max(LEAST_IMAGES, images >> times))
        else:
            groups = max(1, (segments // WHOLE_GROUPS) >> times)
            step = StepShape(WHOLE_GROUPS * groups, images)
        prefix_batch, stretch = max(1, self.prefix_batch >> times), max(1, self.stretch >> times)
        return Sizes(step, prefix_batch, stretch, STREAMED_BLOCK)


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
    values = [values_of(chain, place) for place in range(len(chain.layers))]
    # The same for all layers: one's outputs may come from another one's prefix.
    before, after = values[: chain.hidden[-1].consumer], values[hidden.consumer :]
    itemsize = np.dtype(chain.dtype).itemsize
    stretch = int(np.clip(budget_bytes // kept_bytes(chain, hidden), 1, images))
    prefix_batch = int(np.clip(PREFIX_STEP_BYTES // (itemsize * max(before)), 1, batch_size))
    if isinstance(chain.layers[hidden.consumer], keras.layers.Dense):
        rows = _power_of_two(PACKED_STEP_BYTES // (itemsize * max(after)))
        enough = max(2 * -(-images // SEGMENT), ENOUGH_SEGMENTS)
        groups = min(rows // SEGMENT, enough) // WHOLE_GROUPS
        segments = WHOLE_GROUPS * max(1, groups)
        step, width = StepShape(segments, SEGMENT), STEPS_PER_BLOCK * segments * SEGMENT // images
    else:
        rows = _power_of_two(STEP_BYTES // (itemsize * max(after)))
        rows = min(rows, _power_of_two(images // 4), MOST_IMAGES)
        step, width = StepShape(1, max(LEAST_IMAGES, rows)), 1
    width = STREAMED_BLOCK if stretch < images else max(1, width)
    return Sizes(step, prefix_batch, stretch, width)


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


def kept_bytes(chain: Chain, hidden: Hidden) -> int:
    """Return the bytes that are kept of a layer for one image, at the peak."""
    h, z = values_of(chain, hidden.consumer - 1), values_of(chain, hidden.consumer)
    # Kept are h, z, and z once more while it is patched; h and z pass through the host once.
    return np.dtype(chain.dtype).itemsize * (2 * h + 3 * z)


def _power_of_two(limit: int) -> int:
    """Return the largest power of two up to `limit`, at least 1."""
    return 1 << max(0, int(limit).bit_length() - 1)
