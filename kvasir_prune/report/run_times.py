"""When each stage of a run ended and how long it worked, read from `run.log` and the starts."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

from kvasir_prune.report.schema import StageTime

ENDS = {
    "images": ("data_check.json",),
    "training": ("model.keras",),
    "importance": ("importance.h5",),
    "pruning": ("pruned.keras",),
    "evaluation": ("evaluation.h5", "latency.json", "thumbnails.h5"),
}
"""Stage -> the files that it publishes last."""


def stage_times(log: Path, begun: str, starts: Sequence[str]) -> list[StageTime]:
    """Return the stages whose end the log tells, in order.

    A stage takes from the end of the one before, or from the beginning, to its own end; what lies
    between the last line before a start and that start is a stop, and not counted.

    Args:
        log: `run.log`; nothing is known where it is missing, or cut.
        begun: when the run was begun, ISO 8601.
        starts: when it was started to compute, ISO 8601.
    """
    lines = sorted(_lines(log))
    times = [when for when, _ in lines]
    stops = [stop for stop in (_stop(times, start) for start in starts) if stop is not None]
    found: list[StageTime] = []
    since = datetime.fromisoformat(begun)
    for stage, files in ENDS.items():
        ends = [when for when, name in lines if name in files]
        if not ends or ends[-1] < since:
            return found
        seconds = (ends[-1] - since).total_seconds()
        seconds -= sum(
            max(0.0, (min(until, ends[-1]) - max(stopped, since)).total_seconds())
            for stopped, until in stops
        )
        ended = ends[-1].isoformat(timespec="seconds")
        found.append(StageTime(stage=stage, ended=ended, seconds=max(0.0, round(seconds, 1))))
        since = ends[-1]
    return found


def _lines(log: Path) -> Iterator[tuple[datetime, str]]:
    """Yield time and file of every line that can be read."""
    try:
        text = log.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return
    for line in text.splitlines():
        try:
            when, name, *_ = line.split()
            moment = datetime.fromisoformat(when)
        except ValueError:
            continue
        if moment.tzinfo is not None:
            yield moment, name


def _stop(times: Sequence[datetime], start: str) -> tuple[datetime, datetime] | None:
    """Return from when to when the run stood still before a start; None if nothing was before."""
    until = datetime.fromisoformat(start)
    place = bisect_left(times, until)
    return (times[place - 1], until) if place else None
