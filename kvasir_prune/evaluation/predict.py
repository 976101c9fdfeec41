"""Logits of many images, in steps of one fixed shape."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from kvasir_prune.models.forward import Weights
from kvasir_prune.models.section import Section, batches


def predict(
    network: Section,
    weights: Weights,
    images: NDArray[np.uint8],
    rows: NDArray[np.intp],
    *,
    batch_size: int,
) -> Iterator[NDArray[np.float32]]:
    """Yield the logits of the chosen images, step by step, (images of the step, classes) float32.

    Args:
        network: a section from the images to the logits.
        weights: of the whole chain.
        images: (n, height, width, channels) uint8, may be a memory map.
        rows: which images, in order; a step's bits depend on the rows of that step alone.
        batch_size: images per step.
    """
    loaded = network.load(weights)
    for part in network.apply(loaded, batches(images, rows, batch_size)):
        yield part.astype(np.float32, copy=False)
