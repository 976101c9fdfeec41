"""How long a training step takes by our own calls of many steps, and by Keras's of one each."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from kvasir_prune import backend
from kvasir_prune.config.model import ModelConfig
from kvasir_prune.models import build
from kvasir_prune.training.fit import STRETCH_BATCHES

CLASSES = 10
SHAPE = (28, 28, 1)


def step_times(network: ModelConfig, *, batch_size: int, steps: int, seed: int) -> dict[str, float]:
    """Return milliseconds a step: `many_in_a_call`, `train_on_batch`, and their `ratio`.

    Compiled before; on random images of 28x28, by turns, so that other work meets both alike.

    Args:
        network: which.
        batch_size: images of a step.
        steps: of each way.
        seed: of images and weights.
    """
    random = np.random.default_rng(seed)
    images = random.integers(0, 256, (STRETCH_BATCHES, batch_size, *SHAPE), np.uint8)
    labels = random.integers(0, CLASSES, (STRETCH_BATCHES, batch_size))
    ours = backend.training_steps(_compiled(network, seed))
    theirs = _compiled(network, seed)

    def one_by_one(batches: NDArray[Any], answers: NDArray[Any]) -> None:
        for batch, answer in zip(batches, answers, strict=True):
            theirs.reset_metrics()
            theirs.train_on_batch(batch, answer, return_dict=True)

    ways: dict[str, Callable[..., object]] = {"many_in_a_call": ours, "train_on_batch": one_by_one}
    for way in ways.values():
        way(images, labels)
    spent = dict.fromkeys(ways, 0.0)
    turns = max(1, steps // STRETCH_BATCHES)
    for _ in range(turns):
        for name, way in ways.items():
            began = time.perf_counter()
            way(images, labels)
            spent[name] += time.perf_counter() - began
    found = {name: 1e3 * s / (turns * STRETCH_BATCHES) for name, s in spent.items()}
    return {**found, "ratio": found["train_on_batch"] / found["many_in_a_call"]}


def _compiled(network: ModelConfig, seed: int) -> keras.Model:
    model: Any = build(network, SHAPE, CLASSES, seed=seed)
    logits = keras.Model(model.inputs, model.get_layer("predictions").output)
    logits.compile(
        optimizer=keras.optimizers.Adam(),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=[keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
    )
    logits.optimizer.build(logits.trainable_variables)
    return logits
