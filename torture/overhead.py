"""What durability costs: the commits of a run, from its own log."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from statistics import median


def overhead(run: Path) -> dict[str, float]:
    """Return the share of a finished, undisturbed run's time that publishing took.

    Args:
        run: its folder.

    Returns:
        commits; median_publish_s; run_s, from its first record to its report; share, commits times
        median over run_s; scoring_s and share_of_scoring, likewise from the first to the last line
        of the log.
    """
    lines = [line.split() for line in (run / "run.log").read_text().splitlines()]
    publish_s = median(float(line[2].removeprefix("commit_ms=")) / 1000 for line in lines)
    times = [datetime.datetime.fromisoformat(line[0]) for line in lines]
    created = json.loads((run / "run.json").read_text())["created"]
    began = datetime.datetime.fromisoformat(created).timestamp()
    run_s = (run / "report" / "report.json").stat().st_mtime - began
    scoring_s = (times[-1] - times[0]).total_seconds()
    spent = len(lines) * publish_s
    return {
        "commits": len(lines),
        "median_publish_s": publish_s,
        "run_s": run_s,
        "share": spent / run_s,
        "scoring_s": scoring_s,
        "share_of_scoring": spent / scoring_s if scoring_s else 0.0,
    }
