"""Logits of many images, in steps of one fixed shape."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from kvasir_prune.backend import computes_wrong
from kvasir_prune.models.forward import Weights
from kvasir_prune.models.section import Section, batches


def predict(
    network: Section,
    weights: Weights,
    images: NDArray[np.uint8],
    rows: NDArray[np.intp],
    *,
    batch_size: int,
    verify_every: int = 0,
) -> Iterator[NDArray[np.float32]]:
    """Yield the logits of the chosen images, step by step, (images of the step, classes) float32.

    Args:
        network: a section from the images to the logits.
        weights: of the whole chain.
        images: (n, height, width, channels) uint8, may be a memory map.
        rows: which images, in order; a step's bits depend on the rows of that step alone.
        batch_size: images per step.
        verify_every: every so manieth step, the first among them, is computed twice; 0 never.

    Raises:
        DeviceError: the two differ in any bit.
    """
    loaded = network.load(weights)
    for number, step in enumerate(batches(images, rows, batch_size)):
        (part,) = network.apply(loaded, [step])
        if verify_every and number % verify_every == 0:
            (again,) = network.apply(loaded, [step])
            if part.tobytes() != again.tobytes():
                raise computes_wrong("logits", where=f"image {number * batch_size} and following")
        yield part.astype(np.float32, copy=False)
