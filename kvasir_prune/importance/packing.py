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


class Piece(NamedTuple):
    """What of a part lies in a step.

    Attributes:
        part: the part.
        rows: which of its positions.
        slot: where in the step the first of them lies; the others follow.
    """

    part: Part
    rows: slice
    slot: int

    @property
    def images(self) -> NDArray[np.intp]:
        """Return the positions themselves."""
        return self.part.rows[self.rows]

    @property
    def slots(self) -> slice:
        """Return where in the step all of them lie."""
        return slice(self.slot, self.slot + len(self.images))


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


def packed(parts: Iterable[Part | None], shape: StepShape) -> Iterator[tuple[Step, list[Piece]]]:
    """Lay every part's images into segments of its own, and segments into steps.

    What is missing at the end of a part's last segment, and of a step, is filled with row 0, whose
    results are to be dropped.

    Args:
        parts: asked for one by one, while there is room in the step at hand; None ends the step.
        shape: of every step.
    """
    filling = _Filling(shape)
    for part in parts:
        done = 0 if part is None else filling.take(part, 0)
        while filling.is_full or (part is None and filling.pieces):
            yield filling.step, filling.pieces
            filling = _Filling(shape)
            if part is not None and done < len(part.rows):
                done = filling.take(part, done)
    if filling.pieces:
        yield filling.step, filling.pieces


class _Filling:
    """A step that is being filled."""

    def __init__(self, shape: StepShape) -> None:
        self.pieces: list[Piece] = []
        self.step = Step(
            np.zeros(shape.segments, np.int32),
            np.zeros((shape.segments, shape.images), np.int32),
            np.zeros(shape.segments, np.float32),
        )
        self._shape = shape
        self._filled = 0

    @property
    def is_full(self) -> bool:
        return self._filled == self._shape.segments

    def take(self, part: Part, done: int) -> int:
        """Lay as much of a part as there is room for; return where it goes on."""
        start, images = self._filled, self._shape.images
        room = (self._shape.segments - start) * images
        some = slice(done, min(done + room, len(part.rows)))
        count = some.stop - some.start
        self._filled = until = start - (-count // images)
        self.step.nodes[start:until], self.step.scales[start:until] = part.node, part.scale
        self.step.rows[start:until].reshape(-1)[:count] = part.rows[some]
        self.pieces.append(Piece(part, some, start * images))
        return some.stop
