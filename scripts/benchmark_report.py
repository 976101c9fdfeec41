"""Time the report of a run with 1,200 test images: python scripts/benchmark_report.py.

The run is made once and kept in `--cache`. The machinery and what is in it:
`benchmarks/report_time.py`.
"""

from __future__ import annotations

import json
import os
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
    """Measure it; prints JSON: time of every report, the load of the machine, what was in it."""
    make_run(ROOT / "configs" / "demo.yaml", cache)
    kinds = ("seconds", "processor_seconds")
    times = zip(kinds, zip(*seconds(cache, repetitions), strict=True), strict=True)
    found = {
        name: {"median": statistics.median(part), "all": [round(one, 2) for one in part]}
        for name, part in times
    }
    load = {"load_of_machine": os.getloadavg()[0], "processors": os.cpu_count()}
    print(json.dumps({**found, **load, **contents(cache)}, indent=2))


if __name__ == "__main__":
    typer.run(main)
