"""Images seen coarsely: what their edges and black parts are judged by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from kvasir_prune.progress import Progress

CELLS = 12
"""Every image is seen as 12 x 12 cells of mean colour."""
FINE_CELLS = 48
"""For regions that are black, every image is seen as 48 x 48 cells."""
DARK = 24
"""A cell is black if its brightest channel is below this (0 to 255)."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Looks:
    """Images, seen coarsely.

    Attributes:
        cells: (n, 12, 12, channels) mean colours, 0 to 255.
        black: (n, 48, 48) which parts are black.
    """

    cells: Floats
    black: NDArray[np.bool_]


def looks_of(images: NDArray[np.uint8], rows: Sequence[int], progress: Progress) -> Looks:
    """Look at images coarsely.

    Args:
        images: (n, height, width, 1 or 3) uint8, may be a memory map.
        rows: which of them.
        progress: told about every image.
    """
    cells = np.empty((len(rows), CELLS, CELLS, images.shape[-1]), np.float64)
    black = np.empty((len(rows), FINE_CELLS, FINE_CELLS), np.bool_)
    with progress.task("Looking at borders", len(rows)) as task:
        for place, row in enumerate(rows):
            cells[place] = _shrunk(images[row], CELLS)
            black[place] = _shrunk(images[row], FINE_CELLS).max(axis=-1) < DARK
            task.advance()
    return Looks(cells, black)


def _shrunk(image: NDArray[np.uint8], side: int) -> NDArray[Any]:
    small: NDArray[Any] = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)
    return small.reshape(side, side, -1)
