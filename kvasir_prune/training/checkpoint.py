"""The state of a training between two epochs, published whole: weights, optimizer, seeds, history.

Keras's BackupAndRestore brings back neither the early stopping nor the best weights nor the
shuffling. Here the first and the last are functions of the history, the seed and the epoch; the
best weights lie in a file of their own, named by the epoch and published before the checkpoint
that refers to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
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
SCHEMA_VERSION = 1


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


def load(folder: Path, model: keras.Model) -> History:
    """Bring `model` to the last published state and return its history; () where there is none.

    Raises:
        LedgerError: the checkpoint is damaged or belongs to another network.
    """
    sweep_partials(folder)
    path = folder / CHECKPOINT
    if not path.exists():
        return ()
    with _reading(path) as file:
        _assign(file, variables_of(model), path)
        return tuple(Epoch(int(row[0]), *map(float, row[1:])) for row in file["history"][()])


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


def _publish(path: Path, variables: Sequence[Any], history: Sequence[Epoch]) -> None:
    rows = [
        (e.epoch, e.train_loss, e.train_accuracy, e.validation_loss, e.validation_accuracy)
        for e in history
    ]
    with publishing_hdf5(path, SCHEMA_VERSION) as file:
        file.create_dataset("history", data=np.array(rows, np.float64).reshape(-1, 5))
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
