"""TensorBoard scalars of a training and of a pruning; a rendering of their records."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from kvasir_prune.training.history import Epoch
from kvasir_prune.types import LossAccuracy

SHOW_EVERY_S = 2.0


class EventLog:
    """Shows a record as it grows; what an earlier process showed is written anew.

    Args:
        folder: receives the event files; made if absent, emptied of earlier ones.
    """

    def __init__(self, folder: Path) -> None:
        # The package's own writer needs no TensorFlow.
        from tensorboard.summary import Writer

        for earlier in folder.glob("events.*"):
            earlier.unlink()
        self._writer = Writer(str(folder))
        self._written, self._due = 0, 0.0

    def __enter__(self) -> EventLog:
        return self

    def __exit__(self, *_error: object) -> None:
        self._writer.close()

    def epochs(self, history: Sequence[Epoch]) -> None:
        """Write the epochs that are new since the last call; the step is the epoch."""
        for epoch in history[self._written :]:
            scalars = {
                "loss/train": epoch.train_loss,
                "loss/validation": epoch.validation_loss,
                "accuracy/train": epoch.train_accuracy,
                "accuracy/validation": epoch.validation_accuracy,
            }
            self._write(scalars, epoch.epoch)
        self._writer.flush()
        self._written = len(history)

    def removal(self, removed: int, value: LossAccuracy, evaluations: int) -> None:
        """Write a removal, or what was before the first.

        Args:
            removed: nodes that are removed by now; the step of loss and accuracy.
            value: loss and accuracy on the scoring set.
            evaluations: nodes scored by now; the step of the number of removed nodes.
        """
        self._write({"pruning/loss": value.loss, "pruning/accuracy": value.accuracy}, removed)
        self._write({"pruning/removed": removed}, evaluations)

    def show(self) -> None:
        """Let readers see what is written, if they have not for some seconds."""
        if time.monotonic() >= self._due:
            self._writer.flush()
            self._due = time.monotonic() + SHOW_EVERY_S

    def _write(self, scalars: Mapping[str, float], step: int) -> None:
        for tag, value in scalars.items():
            self._writer.add_scalar(tag, value, step=step)
