"""`run.log`: one line for every commit, for people, `tail -f` and the figures of reliability."""

from __future__ import annotations

import datetime
from pathlib import Path

from kvasir_prune.publish import storage_errors_named


class RunLog:
    """Appends lines to the log of a run.

    Args:
        path: of the log.
        stage: named in every line.
    """

    def __init__(self, path: Path, stage: str) -> None:
        self._path, self._stage = path, stage

    def committed(self, took_s: float, **facts: object) -> None:
        """Write the line of a commit: when, in which stage, how long it took, and what it holds."""
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
        words = [f"{name}={value}" for name, value in facts.items()]
        line = " ".join([now, self._stage, f"commit_ms={1000 * took_s:.1f}", *words])
        with (
            storage_errors_named(self._path),
            self._path.open("a", encoding="utf-8", newline="\n") as log,
        ):
            log.write(f"{line}\n")
