"""The training history, and what follows from it: the best epoch, and whether to stop.

Patience and best value are derived from the history each time, never kept beside it; so a
resumed training cannot have forgotten them.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from kvasir_prune.config.method import EarlyStopping, TrainingConfig
from kvasir_prune.errors import LedgerError


@dataclass(frozen=True)
class Epoch:
    """Losses (nats) and accuracies after one pass over the training images; counted from 1.

    The training figures are running means over the pass, with dropout at work; the validation
    figures are those of the network at its end.
    """

    epoch: int
    train_loss: float
    train_accuracy: float
    validation_loss: float
    validation_accuracy: float


History = tuple[Epoch, ...]


def best_epoch(history: Sequence[Epoch], stopping: EarlyStopping | None) -> int:
    """Return the epoch whose weights are kept: the best so far, or the last without stopping."""
    if stopping is None or not history:
        return len(history)
    best = history[0]
    for epoch in history[1:]:
        if epoch.validation_loss < best.validation_loss - stopping.min_delta:
            best = epoch
    return best.epoch


def is_over(history: Sequence[Epoch], config: TrainingConfig) -> bool:
    """Return whether the training ends after these epochs."""
    if len(history) >= config.max_epochs:
        return True
    return stopped_early(history, config)


def stopped_early(history: Sequence[Epoch], config: TrainingConfig) -> bool:
    """Return whether patience ran out."""
    stopping = config.early_stopping
    if stopping is None or not history:
        return False
    return len(history) - best_epoch(history, stopping) >= stopping.patience


def to_csv(history: Sequence[Epoch]) -> str:
    """Return the history as CSV; floats are written so that they read back to the same bits."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([field.name for field in fields(Epoch)])
    writer.writerows(astuple(epoch) for epoch in history)
    return text.getvalue()


def read_csv(path: Path) -> History:
    """Read what `to_csv` wrote.

    Raises:
        LedgerError: the file is damaged, or holds what is no finite number.
    """
    names = [field.name for field in fields(Epoch)][1:]
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            rows = list(csv.DictReader(stream))
        return tuple(Epoch(int(r["epoch"]), *(_finite(r, name) for name in names)) for r in rows)
    except (ValueError, KeyError, TypeError, csv.Error) as error:
        raise LedgerError(
            "The training history is damaged.",
            where=path,
            got=error,
            expected=f"CSV with epoch, {', '.join(names)}",
            fix="restore the file from a copy, or start again in a new run folder",
        ) from None


def _finite(row: Mapping[str, str], name: str) -> float:
    value = float(row[name])
    if not math.isfinite(value):
        raise ValueError(f"{name} is {value} in epoch {row['epoch']}")
    return value
