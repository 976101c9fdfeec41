"""Laying pairs of node and image into steps of one fixed shape."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from kvasir_prune.importance.sizes import StepShape

Step = tuple[NDArray[np.int32], NDArray[np.int32]]
"""Nodes (segments,) and, for each, positions of images (segments, images)."""


def packed(rows_of: Mapping[int, NDArray[np.intp]], shape: StepShape) -> list[Step]:
    """Lay every node's images into segments of its own, and segments into steps.

    What is missing at the end of a node's last segment, and of the last step, is filled with
    row 0, whose results are to be dropped.

    Args:
        rows_of: node -> positions of its images, in order.
        shape: of every step.
    """
    counts = [segments_for(len(rows), shape) for rows in rows_of.values()]
    total = -(-sum(counts) // shape.segments) * shape.segments
    nodes = np.zeros(total, np.int32)
    table = np.zeros((total, shape.images), np.int32)
    at = 0
    for (node, rows), count in zip(rows_of.items(), counts, strict=True):
        nodes[at : at + count] = node
        table[at : at + count].reshape(-1)[: len(rows)] = rows
        at += count
    cuts = range(0, total, shape.segments)
    return [(nodes[i : i + shape.segments], table[i : i + shape.segments]) for i in cuts]


def segments_for(images: int, shape: StepShape) -> int:
    """Return how many segments a node with so many images takes."""
    return -(-images // shape.images)
