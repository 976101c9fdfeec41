"""Progress on the terminal, with Rich; plain lines where there is no terminal."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Task as RichTask
from rich.text import Text

from kvasir_prune.progress import Task, duration

LINE_EVERY_S = 60.0
"""Off the terminal a job says how far it is in a line, at most this often."""


class _PlainTask:
    """Prints a line now and then: for log files of jobs that run for days."""

    def __init__(self, console: Console, description: str, total: float | None) -> None:
        self._console = console
        self._description = description
        self._total = "" if total is None else f" of {total:.0f}"
        self._done = 0.0
        self._said = time.monotonic()

    def advance(self, steps: float = 1, **facts: object) -> None:
        """Count; print if the last line is old enough."""
        self._done += steps
        if time.monotonic() - self._said < LINE_EVERY_S:
            return
        self._said = time.monotonic()
        shown = "".join(f", {name} {value}" for name, value in facts.items())
        line = f"{self._description}: {self._done:.0f}{self._total}{shown}"
        self._console.print(line, highlight=False, markup=False, soft_wrap=True)

    def foresee(self, done_s: float, left_s: float, **facts: object) -> None:
        """Print how much is left, if the last line is old enough."""
        if time.monotonic() - self._said < LINE_EVERY_S:
            return
        self._said = time.monotonic()
        shown = "".join(f", {name} {value}" for name, value in facts.items())
        share = done_s / (done_s + left_s) if left_s else 1.0
        line = f"{self._description}: {share:.0%}, about {duration(left_s)} left{shown}"
        self._console.print(line, highlight=False, markup=False, soft_wrap=True)


class _Amount(MofNCompleteColumn):
    """Steps done of all; a percentage where the steps are predicted seconds."""

    def render(self, task: RichTask) -> Text:
        """Draw the column."""
        if task.fields["left_s"] is None:
            return super().render(task)
        return Text(f"{task.percentage:.0f}%", style="progress.download")


class _Left(TimeRemainingColumn):
    """The time left as the job foresees it, or as its speed lets expect."""

    def render(self, task: RichTask) -> Text:
        """Draw the column."""
        left_s = task.fields["left_s"]
        if left_s is None:
            return super().render(task)
        return Text(duration(left_s), style="progress.remaining")


class _RichTask:
    def __init__(self, bars: Progress, identifier: TaskID) -> None:
        self._bars = bars
        self._identifier = identifier

    def advance(self, steps: float = 1, **facts: object) -> None:
        """Move the bar and show the facts beside it."""
        shown = "  ".join(f"{name} {value}" for name, value in facts.items())
        extra = {"facts": shown} if facts else {}
        self._bars.update(self._identifier, advance=steps, **extra)  # type: ignore[arg-type]

    def foresee(self, done_s: float, left_s: float, **facts: object) -> None:
        """Move the bar, show the time left, and the facts beside it."""
        shown = "  ".join(f"{name} {value}" for name, value in facts.items())
        total = done_s + left_s
        self._bars.update(
            self._identifier, total=total, completed=done_s, left_s=left_s, facts=shown
        )


class RichProgress:
    """Draws a bar for each task while it runs.

    Args:
        console: where to draw; off a terminal a line now and then stands for the bars.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bars = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            _Amount(),
            TimeElapsedColumn(),
            TextColumn("left"),
            _Left(),
            TextColumn("{task.fields[facts]}", style="dim"),
            console=console,
            transient=True,
        )
        self._open = 0

    @contextmanager
    def task(self, description: str, total: float | None) -> Iterator[Task]:
        """Open a bar for the time of a `with` block."""
        if not self._console.is_terminal:
            yield _PlainTask(self._console, description, total)
            return
        if self._open == 0:
            self._bars.start()
        self._open += 1
        identifier = self._bars.add_task(description, total=total, facts="", left_s=None)
        try:
            yield _RichTask(self._bars, identifier)
        finally:
            self._bars.remove_task(identifier)
            self._open -= 1
            if self._open == 0:
                self._bars.stop()

    def note(self, sentence: str) -> None:
        """Print a line that stays."""
        self._console.print(sentence, highlight=False, markup=False, soft_wrap=True)
