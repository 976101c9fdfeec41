"""What a network says of a set of images, in the form that statistics need."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax, logsumexp

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Answers:
    """The answers of one network to n images of k classes.

    Attributes:
        labels: (n,) the true classes, 0 to k - 1.
        log_probabilities: (n, k) float64, logarithms of the network's probabilities.
        predicted: (n,) the classes named.
    """

    labels: Ints
    log_probabilities: Floats
    predicted: Ints

    @classmethod
    def of(cls, logits: NDArray[np.float32], labels: Ints) -> Answers:
        """Take the answers from logits, (n, k) float32; the first of equal logits is named."""
        log_probabilities = log_softmax(logits.astype(np.float64), axis=1)
        return cls(labels, log_probabilities, logits.argmax(axis=1).astype(np.int64))

    @cached_property
    def classes(self) -> int:
        """The number of classes."""
        return int(self.log_probabilities.shape[1])

    @cached_property
    def is_right(self) -> NDArray[np.bool_]:
        """(n,) whether the class named is the true one."""
        right: NDArray[np.bool_] = self.predicted == self.labels
        return right

    @cached_property
    def probabilities(self) -> Floats:
        """(n, k) probabilities, each row adding up to 1."""
        return np.exp(self.log_probabilities)

    @cached_property
    def log_odds(self) -> Floats:
        """(n, k) log of each class's probability over that of all others; what ranks images.

        Unlike the probabilities these do not become equal where a network is all but certain.
        """
        if self.classes == 1:
            return np.zeros_like(self.log_probabilities)
        others = [
            logsumexp(np.delete(self.log_probabilities, k, axis=1), axis=1)
            for k in range(self.classes)
        ]
        return np.asarray(self.log_probabilities - np.stack(others, axis=1))

    @cached_property
    def confidences(self) -> Floats:
        """(n,) the probability given to the class named."""
        return self.probabilities[np.arange(len(self.labels)), self.predicted]

    @cached_property
    def losses(self) -> Floats:
        """(n,) cross-entropies in nats."""
        return -self.log_probabilities[np.arange(len(self.labels)), self.labels]

    @cached_property
    def brier_scores(self) -> Floats:
        """(n,) squared errors of the probabilities summed over the classes, 0 to 2 (Brier 1950)."""
        error = self.probabilities.copy()
        error[np.arange(len(self.labels)), self.labels] -= 1
        return np.asarray(np.square(error).sum(axis=1))

    def merged(self, group_of: Sequence[int]) -> Answers:
        """Return the answers with classes merged into groups.

        Args:
            group_of: (k,) the group of each class, 0 to the number of groups - 1. An image is
                called what the group of the class named for it is called, even where another
                group has the larger sum of probabilities.
        """
        groups = np.asarray(group_of, np.int64)
        columns = [
            logsumexp(self.log_probabilities[:, groups == group], axis=1)
            for group in range(int(groups.max()) + 1)
        ]
        return Answers(groups[self.labels], np.stack(columns, axis=1), groups[self.predicted])
