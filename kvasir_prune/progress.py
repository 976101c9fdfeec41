"""How a long job tells its caller how far it is, without knowing how that is shown."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Task(Protocol):
    """One job under way."""

    def advance(self, steps: float = 1, **facts: object) -> None:
        """Report `steps` more steps done; `facts` (loss=..., removed=...) are shown beside."""


class Progress(Protocol):
    """Where jobs announce themselves; the command line draws bars, tests stay silent."""

    @contextmanager
    def task(self, description: str, total: float | None) -> Iterator[Task]:
        """Open a job of `total` steps (None: unknown) for the time of a `with` block."""

    def note(self, sentence: str) -> None:
        """Tell the user one thing that is worth a line and that stays on the screen."""


class _SilentTask:
    def advance(self, steps: float = 1, **facts: object) -> None:
        """Say nothing."""


class Silent:
    """A `Progress` that shows nothing."""

    @contextmanager
    def task(self, description: str, total: float | None) -> Iterator[Task]:
        """Open a job that reports to nobody."""
        yield _SilentTask()

    def note(self, sentence: str) -> None:
        """Say nothing."""
