"""How a long job tells its caller how far it is, without knowing how that is shown."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Task(Protocol):
    """One job under way."""

    def advance(self, steps: float = 1, **facts: object) -> None:
        """Report `steps` more steps done; `facts` (loss=..., removed=...) are shown beside."""

    def foresee(self, done_s: float, left_s: float, **facts: object) -> None:
        """Report how far a job is whose steps are of unequal length: predicted seconds."""


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

    def foresee(self, done_s: float, left_s: float, **facts: object) -> None:
        """Say nothing."""


def duration(seconds: float) -> str:
    """Return a length of time in two units at most: "12 s", "3 min", "2 h 10 min", "4 d 3 h"."""
    for unit, part, name, part_name in ((86400, 3600, "d", "h"), (3600, 60, "h", "min")):
        if seconds >= unit:
            whole, rest = divmod(round(seconds / part), unit // part)
            return f"{whole} {name} {rest} {part_name}"
    if seconds >= 120:
        return f"{seconds / 60:.0f} min"
    return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"


class Silent:
    """A `Progress` that shows nothing."""

    @contextmanager
    def task(self, description: str, total: float | None) -> Iterator[Task]:
        """Open a job that reports to nobody."""
        yield _SilentTask()

    def note(self, sentence: str) -> None:
        """Say nothing."""
