"""Loss, accuracy and confusion from logits. Pure NumPy: a report needs no more."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import confusion_matrix as _confusion_matrix

from kvasir_prune.types import LossAccuracy

Logits = NDArray[np.float32]
Labels = NDArray[np.int64]


def cross_entropies(logits: Logits, labels: Labels) -> NDArray[np.float32]:
    """Return each image's categorical cross-entropy in nats, computed in float32 from logits.

    Args:
        logits: (n, classes) float32.
        labels: (n,) int64, 0 to classes - 1.
    """
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_sum = np.log(np.exp(shifted).sum(axis=1))
    losses: NDArray[np.float32] = log_sum - shifted[np.arange(len(labels)), labels]
    return losses


def loss_accuracy(logits: Logits, labels: Labels) -> LossAccuracy:
    """Return the mean cross-entropy, accumulated in float64, and the share of correct images."""
    loss = cross_entropies(logits, labels).sum(dtype=np.float64) / len(labels)
    accuracy = np.count_nonzero(logits.argmax(axis=1) == labels) / len(labels)
    return LossAccuracy(float(loss), float(accuracy))


def confusion_matrix(logits: Logits, labels: Labels) -> NDArray[np.int64]:
    """Return (classes, classes) counts; rows are actual classes, columns predicted ones."""
    predicted = logits.argmax(axis=1)
    matrix: NDArray[Any] = _confusion_matrix(labels, predicted, labels=range(logits.shape[1]))
    return matrix.astype(np.int64)


def confusion_delta_percent(
    before: NDArray[np.int64], after: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the change of a confusion matrix in percent of the images of the actual class.

    Thesis Tables 5.3 to 5.5. Rows of classes without images are NaN.
    """
    images = before.sum(axis=1, keepdims=True).astype(np.float64)
    images[images == 0] = np.nan
    delta: NDArray[np.float64] = (after - before) / images * 100
    return delta


def class_accuracies(matrix: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the sensitivity of every class from its confusion matrix, NaN without images."""
    images = matrix.sum(axis=1).astype(np.float64)
    images[images == 0] = np.nan
    shares: NDArray[np.float64] = matrix.diagonal() / images
    return shares
