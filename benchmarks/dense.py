"""Training only what follows a frozen part of a network, on features that are computed once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from kvasir_prune.importance.scoring_set import ScoringSet
from kvasir_prune.models import Chain, weights_of
from kvasir_prune.models.section import Section
from kvasir_prune.progress import Progress

STEP = 8
"""Images per step through the frozen part: 100 MB for one map of 64 channels of 224x224."""
BATCH = 60
ENOUGH = 0.98
"""Training accuracy at which the images count as told apart: no further, or the losses vanish."""
MOST_EPOCHS = 40

Features = NDArray[np.float32]


def features_of(chain: Chain, stop: int, scoring_set: ScoringSet, progress: Progress) -> Features:
    """Return (images, ...) float32: what the layers before position `stop` make of the images.

    Args:
        chain: the network.
        stop: position in `chain.layers`.
        scoring_set: the images.
        progress: told of each step.
    """
    section = Section(chain, 0, stop)
    weights = section.load(weights_of(chain))
    parts = []
    with progress.task("Features of the frozen layers", len(scoring_set)) as task:
        for part in section.apply(weights, scoring_set.batches(STEP)):
            parts.append(part)
            task.advance(len(part))
    return np.concatenate(parts)


def train_behind(
    chain: Chain,
    start: int,
    scoring_set: ScoringSet,
    *,
    seed: int,
    progress: Progress,
) -> None:
    """Fit the layers from position `start` on, in place, until the images are told apart.

    Random convolutions give features that differ little beside what they have in common, so the
    first layer is trained on centred and scaled features; centre and scale are then folded into
    its weights. Gradient descent with momentum 0.9, which needs half the memory of Adam.

    Args:
        chain: the network; the layer at `start` is Dense.
        start: position of the first layer to fit.
        scoring_set: the images to fit.
        seed: of the order of the images.
        progress: told of epochs.
    """
    features = features_of(chain, start, scoring_set, progress)
    centre = features.mean(axis=0)
    features -= centre
    scale = float(np.sqrt(np.mean(np.square(features), dtype=np.float64)))
    features /= scale
    inputs = values = keras.Input(features.shape[1:])
    for layer in chain.layers[start:]:
        values = layer(values)
    tail = keras.Model(inputs, values)
    for accuracy in _fit(tail, features, scoring_set.labels, seed):
        progress.note(f"Accuracy on the training images {accuracy:.4f}")
    kernel, bias = chain.layers[start].get_weights()
    kernel /= scale
    chain.layers[start].set_weights([kernel, bias - centre @ kernel])


def _fit(tail: Any, features: Features, labels: NDArray[np.int64], seed: int) -> Iterator[float]:
    tail.compile(
        optimizer=keras.optimizers.SGD(0.001, momentum=0.9),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        jit_compile=False,
    )
    for epoch in range(MOST_EPOCHS):
        order = np.random.default_rng((seed, epoch)).permutation(len(labels))
        right = 0.0
        for first in range(0, len(order), BATCH):
            chosen = order[first : first + BATCH]
            tail.reset_metrics()
            logs = tail.train_on_batch(features[chosen], labels[chosen], return_dict=True)
            right += float(logs["accuracy"]) * len(chosen)
        yield right / len(order)
        if right / len(order) >= ENOUGH:
            return
