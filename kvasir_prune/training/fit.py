"""Fitting a network to the training images, one epoch a step, resumable between batches."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray

from kvasir_prune import backend
from kvasir_prune.backend import Steps
from kvasir_prune.config.method import Adam, Sgd, TrainingConfig
from kvasir_prune.data.dataset import Dataset
from kvasir_prune.errors import NumericalError
from kvasir_prune.evaluation.metrics import loss_accuracy
from kvasir_prune.evaluation.predict import predict
from kvasir_prune.interruption import Signalled, undivided
from kvasir_prune.models.chain import read_chain
from kvasir_prune.models.forward import weights_of
from kvasir_prune.models.section import Section
from kvasir_prune.progress import Progress
from kvasir_prune.training import checkpoint
from kvasir_prune.training.checkpoint import Passed
from kvasir_prune.training.history import Epoch, History, best_epoch, is_over
from kvasir_prune.types import TRAIN, VALIDATION, LossAccuracy

STRETCH_BYTES, STRETCH_BATCHES = 2**20, 16
"""The most images, as bytes, and the most batches, that are handed to the backend in one call: so
few that neither a signal nor a checkpoint waits for long, so many that its start counts little."""


def epoch_batches(
    dataset: Dataset, batch_size: int, seed: int, epoch: int
) -> Iterator[NDArray[np.intp]]:
    """Cut the training rows into batches, in an order that seed and epoch alone decide."""
    rows = np.random.default_rng((seed, epoch)).permutation(dataset.rows[TRAIN])
    for start in range(0, len(rows), batch_size):
        yield rows[start : start + batch_size]


def train(
    model: keras.Model,
    dataset: Dataset,
    config: TrainingConfig,
    folder: Path,
    *,
    seed: int,
    progress: Progress,
) -> Iterator[History]:
    """Fit `model` in place, going on wherever the checkpoint in `folder` stands.

    Killed and called again with the same arguments, the final weights equal, bit for bit, those
    of a training that was left alone (same machine, backend and number of threads). A signal waits
    for the stretch of batches in hand, and its state is published before it is let on.

    Args:
        model: freshly built from `seed`; when the generator ends it holds the kept weights.
        dataset: train and validation splits are used.
        config: the `training` section.
        folder: existing folder for the checkpoints.
        seed: decides the order of the images in every epoch.
        progress: told about every batch.

    Yields:
        The history, first as found, then after every epoch.

    Raises:
        NumericalError: a loss is NaN or infinite.
    """
    logits = keras.Model(model.inputs, model.get_layer("predictions").output)
    logits.compile(
        optimizer=_optimizer(config),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=[keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
    )
    logits.optimizer.build(logits.trainable_variables)
    history, begun = checkpoint.load(folder, logits)
    steps = backend.training_steps(logits)
    within = checkpoint.WithinEpochs(folder, logits, config.commit_every_s)
    network = Section(read_chain(model))
    yield history
    while not is_over(history, config):
        number = len(history) + 1
        title = f"Epoch {number} of at most {config.max_epochs}"
        total = math.ceil(len(dataset.rows[TRAIN]) / config.batch_size)
        try:
            with progress.task(title, total) as task:
                task.advance(begun.batches)
                batches = epoch_batches(dataset, config.batch_size, seed, number)
                for rows in _stretches(islice(batches, begun.batches, None), dataset):
                    with undivided():
                        begun, last = _fit(steps, dataset, rows, begun, where=f"epoch {number}")
                    within.offer(history, begun)
                    task.advance(len(rows), **last)
            measured = _validate(network, model, dataset, config.batch_size)
            longer = (*history, _epoch(number, _means(begun, dataset), measured))
            checkpoint.save(folder, logits, longer, best_epoch(longer, config.early_stopping))
        except Signalled:
            within.publish(history, begun)
            raise
        history, begun = longer, Passed()
        yield history
    checkpoint.load_best(folder, logits, best_epoch(history, config.early_stopping))


def _fit(
    steps: Steps, dataset: Dataset, rows: NDArray[np.intp], passed: Passed, *, where: str
) -> tuple[Passed, dict[str, str]]:
    """Take the steps of a stretch; return how far the pass is, and its last loss and accuracy."""
    losses, accuracies = steps(dataset.images[rows], dataset.labels[rows])
    for loss, accuracy in zip(losses.tolist(), accuracies.tolist(), strict=True):
        number, size = passed.batches + 1, rows.shape[1]
        if not math.isfinite(loss):
            raise _diverged(f"{where}, batch {number}", loss)
        passed = Passed(number, passed.loss + loss * size, passed.accuracy + accuracy * size)
    return passed, {"loss": f"{loss:.4f}", "accuracy": f"{accuracy:.4f}"}


def _stretches(batches: Iterable[NDArray[np.intp]], dataset: Dataset) -> Iterator[NDArray[np.intp]]:
    """Gather batches of one size for a call each; yield their rows, `(batches, images)`."""
    bytes_of_image = dataset.images[:1].nbytes
    for size, alike in itertools.groupby(batches, key=len):
        most = max(1, min(STRETCH_BATCHES, STRETCH_BYTES // (size * bytes_of_image)))
        while stretch := list(islice(alike, most)):
            yield np.stack(stretch)


def _means(passed: Passed, dataset: Dataset) -> LossAccuracy:
    """Return the means over the training images behind a whole pass."""
    images = len(dataset.rows[TRAIN])
    return LossAccuracy(passed.loss / images, passed.accuracy / images)


def _validate(
    network: Section, model: keras.Model, dataset: Dataset, batch_size: int
) -> LossAccuracy:
    weights = weights_of(read_chain(model))
    rows = dataset.rows[VALIDATION]
    steps = predict(network, weights, dataset.images, rows, batch_size=batch_size)
    return loss_accuracy(np.concatenate(list(steps)), dataset.labels_of(VALIDATION))


def _epoch(number: int, fitted: LossAccuracy, measured: LossAccuracy) -> Epoch:
    if not math.isfinite(measured.loss):
        raise _diverged(f"epoch {number}, on the validation images", measured.loss)
    return Epoch(number, fitted.loss, fitted.accuracy, measured.loss, measured.accuracy)


def _diverged(where: str, loss: float) -> NumericalError:
    return NumericalError(
        "The training has diverged: its loss is not a finite number.",
        where=where,
        got=loss,
        fix="lower training.optimizer.learning_rate, or try another initializer, in a new "
        "run folder",
    )


def _optimizer(config: TrainingConfig) -> keras.optimizers.Optimizer:
    settings = config.optimizer.model_dump(exclude={"name"})
    match config.optimizer:
        case Sgd():
            return keras.optimizers.SGD(**settings)
        case Adam():
            return keras.optimizers.Adam(**settings)
