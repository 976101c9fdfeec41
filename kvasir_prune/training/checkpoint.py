"""The state of a training between two batches, published whole: weights, optimizer, seeds, history.

Keras's BackupAndRestore brings back neither the early stopping nor the best weights nor the
shuffling. Here the first and the last are functions of the history, the seed and the epoch; the
best weights lie in a file of their own, named by the epoch and published before the checkpoint
that refers to it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
from numpy.typing import NDArray

from kvasir_prune.errors import LedgerError
from kvasir_prune.ledger.hdf5_file import publishing_hdf5, reading_hdf5
from kvasir_prune.publish import sweep_partials
from kvasir_prune.training.history import Epoch, History

CHECKPOINT = "checkpoint.h5"
SCHEMA_VERSION = 3
MOST_OF_TIME = 0.02
"""Share of a training's time that checkpoints within its epochs may take."""


@dataclass(frozen=True)
class Passed:
    """How far an epoch is.

    Attributes:
        batches: taken of it.
        loss, accuracy: sums over their images, losses in nats.
    """

    batches: int = 0
    loss: float = 0.0
    accuracy: float = 0.0


def variables_of(model: keras.Model) -> list[Any]:
    """Return everything that changes while a model trains, in a fixed order.

    Weights, the states of random seeds (dropout), and the optimizer's variables.
    """
    seen: dict[int, Any] = {}
    for variable in (*model.weights, *_seeds(model), *model.optimizer.variables):
        seen.setdefault(id(variable), variable)
    return list(seen.values())


def save(folder: Path, model: keras.Model, history: Sequence[Epoch], best: int) -> None:
    """Publish the state after the last epoch of `history`.

    Args:
        folder: existing folder of the training.
        model: compiled, as it stands after that epoch.
        history: all epochs so far.
        best: the epoch whose weights are the best so far.
    """
    if best == len(history):
        _publish(_best(folder, best), list(model.weights), history)
    _publish(folder / CHECKPOINT, variables_of(model), history)
    for other in folder.glob("best-*.h5"):
        if other != _best(folder, best):
            other.unlink()


class WithinEpochs:
    """Checkpoints within an epoch, as often as their size allows.

    Args:
        folder: existing folder of the training.
        model: compiled.
        every_s: least time between two of them, in seconds.
    """

    def __init__(self, folder: Path, model: keras.Model, every_s: float) -> None:
        self._path, self._model, self._every_s = folder / CHECKPOINT, model, every_s
        self._due = time.monotonic() + every_s

    def offer(self, history: Sequence[Epoch], passed: Passed) -> None:
        """Publish the state behind a batch if it is time to."""
        if time.monotonic() >= self._due:
            self.publish(history, passed)

    def publish(self, history: Sequence[Epoch], passed: Passed) -> None:
        """Publish the state behind a batch now."""
        began = time.monotonic()
        _publish(self._path, variables_of(self._model), history, passed)
        ended = time.monotonic()
        self._due = ended + max(self._every_s, (ended - began) / MOST_OF_TIME)


def load(folder: Path, model: keras.Model) -> tuple[History, Passed]:
    """Bring `model` to the last published state.

    Returns:
        The history, () where nothing was published, and how far the epoch after it is.

    Raises:
        LedgerError: the checkpoint is damaged or belongs to another network.
    """
    sweep_partials(folder)
    path = folder / CHECKPOINT
    if not path.exists():
        return (), Passed()
    with _reading(path) as file:
        _assign(file, variables_of(model), path)
        history = tuple(Epoch(int(row[0]), *map(float, row[1:])) for row in file["history"][()])
        batches, loss, accuracy = file["passed"][()]
        return history, Passed(int(batches), float(loss), float(accuracy))


def load_best(folder: Path, model: keras.Model, best: int) -> None:
    """Give `model` the weights of epoch `best`.

    Raises:
        LedgerError: their file is missing or damaged.
    """
    path = _best(folder, best)
    with _reading(path) as file:
        _assign(file, list(model.weights), path)


def _reading(path: Path) -> AbstractContextManager[h5py.File]:
    fix = (
        f"restore the file from a copy, or delete the folder {path.parent}: the training starts "
        "again at its first epoch"
    )
    return reading_hdf5(path, SCHEMA_VERSION, mended_by=fix)


def _best(folder: Path, epoch: int) -> Path:
    return folder / f"best-{epoch:06d}.h5"


def _seeds(model: keras.Model) -> list[Any]:
    return [v for layer in model.layers for v in layer.variables if "seed" in v.path]


def _publish(
    path: Path, variables: Sequence[Any], history: Sequence[Epoch], passed: Passed = Passed()
) -> None:
    rows = [
        (e.epoch, e.train_loss, e.train_accuracy, e.validation_loss, e.validation_accuracy)
        for e in history
    ]
    holds = {"epochs": len(history), "batches": passed.batches}
    with publishing_hdf5(path, SCHEMA_VERSION, holds=holds) as file:
        file.create_dataset("history", data=np.array(rows, np.float64).reshape(-1, 5))
        file.create_dataset("passed", data=np.array(astuple(passed), np.float64))
        for number, variable in enumerate(variables):
            dataset = file.create_dataset(f"variables/{number:05d}", data=_value(variable))
            dataset.attrs["path"] = variable.path


def _value(variable: Any) -> NDArray[Any]:
    return np.asarray(keras.ops.convert_to_numpy(variable))


def _assign(file: h5py.File, variables: Sequence[Any], path: Path) -> None:
    stored = [file[f"variables/{name}"] for name in sorted(file["variables"])]
    shapes = [tuple(dataset.shape) for dataset in stored]
    if shapes != [tuple(variable.shape) for variable in variables]:
        raise LedgerError(
            "The checkpoint belongs to another network.",
            where=path,
            got=f"{len(stored)} variables",
            expected=f"{len(variables)} variables of the configured network's shapes",
            fix="use another --run-dir",
        )
    for dataset, variable in zip(stored, variables, strict=True):
        variable.assign(dataset[()])
