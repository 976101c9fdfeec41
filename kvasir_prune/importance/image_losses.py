"""The losses of single images, from which means are taken in one fixed order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kvasir_prune.types import LossAccuracy


@dataclass
class ImageLosses:
    """The cross-entropy of every image, and whether it is predicted right.

    Attributes:
        losses: (n,) float32, or float64 for a network that computes in it.
        correct: (n,) bool.
    """

    losses: NDArray[Any]
    correct: NDArray[np.bool_]

    @classmethod
    def empty(cls, images: int, dtype: np.dtype[Any]) -> ImageLosses:
        """Return one whose losses are yet to be filled in."""
        return cls(np.empty(images, dtype), np.empty(images, np.bool_))

    def of(self, stretch: slice) -> ImageLosses:
        """Return a view of some images; what is put there is put here."""
        return ImageLosses(self.losses[stretch], self.correct[stretch])

    def __len__(self) -> int:
        return len(self.losses)

    def sum(self, rows: NDArray[np.intp] | slice = slice(None)) -> float:
        """Return the sum of the losses (of some images) in nats, accumulated in float64."""
        return float(self.losses[rows].sum(dtype=np.float64))

    def put(self, rows: NDArray[np.intp], losses: NDArray[Any], correct: NDArray[np.bool_]) -> None:
        """Set some images."""
        self.losses[rows], self.correct[rows] = losses, correct

    def take_from(self, other: ImageLosses) -> None:
        """Set all images."""
        self.losses[:], self.correct[:] = other.losses, other.correct

    def mean(self) -> LossAccuracy:
        """Return mean loss and accuracy, summed in float64 in the order of the images."""
        images = len(self)
        return LossAccuracy(self.sum() / images, np.count_nonzero(self.correct) / images)
