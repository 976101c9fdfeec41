"""Laying pairs of node and image into steps of one fixed shape."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kvasir_prune.importance.sizes import StepShape


class Part(NamedTuple):
    """A node and positions of images, in order; `scale` 0 stands for no node at all."""

    node: int
    rows: NDArray[np.intp]
    scale: float = 1.0


class Step(NamedTuple):
    """What a compiled step takes.

    Attributes:
        nodes: (segments,) int32.
        rows: (segments, images) int32, positions of images.
        scales: (segments,) float32, 1 or 0.
    """

    nodes: NDArray[np.int32]
    rows: NDArray[np.int32]
    scales: NDArray[np.float32]


def nobody(images: int) -> Part:
    """Return a part that leaves the network as it is, on all images."""
    return Part(0, np.arange(images), 0.0)


def packed(parts: Iterable[Part], shape: StepShape) -> Iterator[Step]:
    """Lay every part's images into segments of its own, and segments into steps.

    What is missing at the end of a part's last segment, and of the last step, is filled with
    row 0, whose results are to be dropped.

    Args:
        parts: taken as far as the steps that are asked for need them.
        shape: of every step.
    """
    step, filled = _empty(shape), 0
    for part in parts:
        done = 0
        while done < len(part.rows):
            some = part.rows[done : done + (shape.segments - filled) * shape.images]
            until = filled + segments_for(len(some), shape)
            step.nodes[filled:until], step.scales[filled:until] = part.node, part.scale
            step.rows[filled:until].reshape(-1)[: len(some)] = some
            done, filled = done + len(some), until
            if filled == shape.segments:
                yield step
                step, filled = _empty(shape), 0
    if filled:
        yield step


def segments_for(images: int, shape: StepShape) -> int:
    """Return how many segments a node with so many images takes."""
    return -(-images // shape.images)


def _empty(shape: StepShape) -> Step:
    return Step(
        np.zeros(shape.segments, np.int32),
        np.zeros((shape.segments, shape.images), np.int32),
        np.zeros(shape.segments, np.float32),
    )
