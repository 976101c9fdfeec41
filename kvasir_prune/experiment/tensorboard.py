"""TensorBoard scalars of a training; a rendering of its history."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from kvasir_prune.training.history import Epoch


class EventLog:
    """Shows a training history; what an earlier process showed is written anew.

    Args:
        folder: receives the event files; made if absent, emptied of earlier ones.
    """

    def __init__(self, folder: Path) -> None:
        # The package's own writer needs no TensorFlow.
        from tensorboard.summary import Writer

        for earlier in folder.glob("events.*"):
            earlier.unlink()
        self._writer = Writer(str(folder))
        self._written = 0

    def __enter__(self) -> EventLog:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._writer.close()

    def epochs(self, history: Sequence[Epoch]) -> None:
        """Write the epochs that are new since the last call."""
        for epoch in history[self._written :]:
            self._write(epoch)
        self._writer.flush()
        self._written = len(history)

    def _write(self, epoch: Epoch) -> None:
        scalars = {
            "loss/train": epoch.train_loss,
            "loss/validation": epoch.validation_loss,
            "accuracy/train": epoch.train_accuracy,
            "accuracy/validation": epoch.validation_accuracy,
        }
        for tag, value in scalars.items():
            self._writer.add_scalar(tag, value, step=epoch.epoch)
