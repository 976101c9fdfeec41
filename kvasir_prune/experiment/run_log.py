"""`run.log`: one line for every file that is published, for people, `tail -f` and figures.

A line: time, file, `write_ms` to make the new content, `sync_ms` to make it durable and put it in
place, then what it holds, as NAME=VALUE.
"""

from __future__ import annotations

import datetime
import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from kvasir_prune import publish


class _Lines(logging.FileHandler):
    """Appends lines; a log that cannot be written stops nothing, the next publish will."""

    def emit(self, record: logging.LogRecord) -> None:
        """Append a line if the file can be opened."""
        with suppress(OSError):
            super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  (logging's)
        """Say nothing."""


class _Line(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a publish."""
        when = datetime.datetime.fromtimestamp(record.created, datetime.UTC)
        return f"{when.isoformat(timespec='milliseconds')} {record.getMessage()}"


@contextmanager
def logging_to(path: Path) -> Iterator[None]:
    """Write a line to `path` for every file published inside the block, by any thread."""
    lines, before = _Lines(path, encoding="utf-8", delay=True), publish.log.level
    lines.setFormatter(_Line())
    publish.log.addHandler(lines)
    publish.log.setLevel(logging.INFO)
    try:
        yield
    finally:
        publish.log.setLevel(before)
        publish.log.removeHandler(lines)
        with suppress(OSError):
            lines.close()
