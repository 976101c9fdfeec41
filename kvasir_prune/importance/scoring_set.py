"""The images on which losses are measured."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kvasir_prune.models.section import batches


@dataclass(frozen=True)
class ScoringSet:
    """Some of a data set's images, with their labels.

    Attributes:
        images: (n, height, width, channels) uint8 of the whole data set, may be a memory map.
        rows: which of the images, in this order.
        labels: (len(rows),) int64.
    """

    images: NDArray[np.uint8]
    rows: NDArray[np.intp]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.rows)

    def batches(
        self, size: int, stretch: slice = slice(None)
    ) -> Iterator[tuple[NDArray[Any], int]]:
        """Give the images (of a stretch) in padded steps of one shape, as `section.batches`."""
        return batches(self.images, self.rows[stretch], size)

    def every(self, step: int) -> ScoringSet:
        """Return every so manieth of the images."""
        return ScoringSet(self.images, self.rows[::step], self.labels[::step])

    def repeated(self, count: int) -> ScoringSet:
        """Return the images over and over until there are so many."""
        return ScoringSet(self.images, np.resize(self.rows, count), np.resize(self.labels, count))

    def first(self, count: int) -> ScoringSet:
        """Return the first so many of the images, or all if there are fewer."""
        return ScoringSet(self.images, self.rows[:count], self.labels[:count])
