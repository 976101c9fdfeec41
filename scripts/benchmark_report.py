"""Time the report of a run with 1,200 test images: python scripts/benchmark_report.py.

The run is made once and kept in `--cache`. The machinery and what is in it:
`benchmarks/report_time.py`.
"""

from __future__ import annotations

import json
import statistics
import sys
from pathlib import Path
from typing import Annotated

import typer

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.report_time import contents, make_run, seconds  # noqa: E402


def main(
    *,
    repetitions: Annotated[int, typer.Option(min=1, help="Reports to write.")] = 5,
    cache: Annotated[Path, typer.Option(help="Folder of the run.")] = Path(
        "checkpoints/benchmark/report_time"
    ),
) -> None:
    """Measure it; prints JSON: seconds of every report, their median, what was in it."""
    make_run(ROOT / "configs" / "demo.yaml", cache)
    times = list(seconds(cache, repetitions))
    found = {"seconds": times, "median": statistics.median(times), **contents(cache)}
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    typer.run(main)
