"""Logits of many images, in steps of one fixed shape."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from kvasir_prune.models.forward import Weights
from kvasir_prune.models.section import Section, batches
from kvasir_prune.progress import Task


def predict(
    network: Section,
    weights: Weights,
    images: NDArray[np.uint8],
    rows: NDArray[np.intp],
    *,
    batch_size: int,
    task: Task | None = None,
) -> NDArray[np.float32]:
    """Return the logits of the chosen images, (len(rows), classes) float32.

    Args:
        network: a section from the images to the logits.
        weights: of the whole chain.
        images: (n, height, width, channels) uint8, may be a memory map.
        rows: which images, in order.
        batch_size: images per step.
        task: told about every step's images.
    """
    parts: list[NDArray[Any]] = []
    loaded = network.load(weights)
    for part in network.apply(loaded, batches(images, rows, batch_size)):
        parts.append(part)
        if task is not None:
            task.advance(len(part))
    return np.concatenate(parts).astype(np.float32, copy=False)
