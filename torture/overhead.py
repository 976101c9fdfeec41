"""What durability costs: the publishes of a run, from its own log."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from statistics import median

WORK = "images.npy"
"""Making it is decoding the images, which is no cost of durability."""


def overhead(run: Path) -> dict[str, float]:
    """Return the share of a finished, undisturbed run's time that publishing took.

    Args:
        run: its folder.

    Returns:
        commits, of every file; median_publish_s; run_s, from its first record to its report;
        share, commits times median over run_s; share_in_sum, the sum of all instead.
    """
    spent = [_seconds(line.split()) for line in (run / "run.log").read_text().splitlines()]
    created = json.loads((run / "run.json").read_text())["created"]
    began = datetime.datetime.fromisoformat(created).timestamp()
    run_s = (run / "report" / "report.json").stat().st_mtime - began
    return {
        "commits": len(spent),
        "median_publish_s": median(spent),
        "run_s": run_s,
        "share": len(spent) * median(spent) / run_s,
        "share_in_sum": sum(spent) / run_s,
    }


def _seconds(words: list[str]) -> float:
    facts = dict(word.split("=", 1) for word in words[2:])
    write_ms = 0.0 if words[1] == WORK else float(facts["write_ms"])
    return (write_ms + float(facts["sync_ms"])) / 1000
