"""Timing the first steps of a job, and how long all of them will take by that."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress

from kvasir_prune.progress import Silent, Task

ENOUGH_S = 5.0
"""A training, draws or images are timed so long, and for two calls of the backend at least."""
Call = tuple[int, float]
"""Steps taken, and the seconds they took."""


def extrapolated(calls: Sequence[Call], total: int) -> float:
    """Return the seconds of all steps from those of the first calls.

    Args:
        calls: in order, at least one; the first one also pays for what is compiled.
        total: steps.
    """
    (steps, first), *others = calls
    usual = [seconds / taken for taken, seconds in others]
    # Not the mean: beside other processes a step now and then takes many times as long.
    step = statistics.median(usual) if usual else first / steps
    return first + max(total - steps, 0) * step


def timed(steps: Iterable[object]) -> list[Call]:
    """Take steps until enough of them are timed; return the calls, one for every step.

    Args:
        steps: taken by asking for the next one.
    """
    clock = Stopwatch()
    with suppress(Enough):
        clock.advance(0)
        for _ in steps:
            clock.advance(1)
    return clock.calls


class Enough(Exception):  # noqa: N818  (no error)
    """Enough has been timed."""


class Stopwatch(Silent):
    """Takes the time of every advance of a job, and ends it by `Enough` when enough is known.

    Attributes:
        calls: the advances so far.
    """

    def __init__(self) -> None:
        self.calls = list[Call]()
        self._began = self._last = 0.0

    @contextmanager
    def task(self, description: str, total: float | None) -> Iterator[Task]:
        """Open a job that is timed."""
        yield self

    def advance(self, steps: float = 1, **facts: object) -> None:
        """Take the time since the last advance; one of no steps only starts the clock.

        Raises:
            Enough: of a job that need not go on.
        """
        now = time.monotonic()
        self._began = self._began or now
        if steps:
            self.calls.append((int(steps), now - self._last))
        if len(self.calls) > 1 and now - self._began > ENOUGH_S:
            raise Enough
        self._last = time.monotonic()

    def foresee(self, done_s: float, left_s: float, **facts: object) -> None:
        """Time nothing."""
