"""The times of the stages, from logs written by hand and from that of a real run."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

import pytest

from kvasir_prune.report.run_times import ENDS, stage_times

LOG = """\
2026-03-01T10:00:00.000+00:00 run.json write_ms=0.2
2026-03-01T10:01:00.000+00:00 data_check.json write_ms=0.2
2026-03-01T10:03:00.000+00:00 checkpoint.h5 write_ms=0.2 epochs=1
2026-03-01T10:05:00.000+00:00 checkpoint.h5 write_ms=0.2 epochs=2
2026-03-02T08:10:00.000+00:00 checkpoint.h5 write_ms=0.2 epochs=3
2026-03-02T08:12:00.000+00:00 model.keras write_ms=0.2
2026-03-02T08:13:00.000+00:00 importance.h5 write_ms=0.2 nodes=0
2026-03-02T08:20:00.000+00:00 importance.h5 write_ms=0.2 nodes=128
2026-03-02T09:20:00.000+00:00 pruned.keras write_ms=0.2
2026-03-02T09:21:00.000+00:00 evaluation.h5 write_ms=0.2
2026-03-02T09:22:00.000+00:00 thumbnails.h5 write_ms=0.2
2026-03-05T09:22:00.000+00:00 report.json write_ms=0.2
"""
BEGUN = "2026-03-01T10:00:00+00:00"
STARTS = ["2026-03-01T10:01:30+00:00", "2026-03-02T08:05:00+00:00"]


def test_a_stage_lasts_to_its_last_file_and_a_night_between_two_starts_is_no_work(tmp_path):
    (tmp_path / "run.log").write_text(LOG)
    found = stage_times(tmp_path / "run.log", BEGUN, STARTS)
    told = {one.stage: (one.ended, one.seconds) for one in found}
    # Training: 10:01:30 to 10:05, 08:05 to 08:12; before the first start the backend was loaded.
    assert told == {
        "images": ("2026-03-01T10:01:00+00:00", 60.0),
        "training": ("2026-03-02T08:12:00+00:00", 3.5 * 60 + 7 * 60),
        "importance": ("2026-03-02T08:20:00+00:00", 8 * 60.0),
        "pruning": ("2026-03-02T09:20:00+00:00", 3600.0),
        "evaluation": ("2026-03-02T09:22:00+00:00", 120.0),
    }


@pytest.mark.parametrize(
    ("text", "stages"),
    [
        (None, 0),
        ("", 0),
        ("no time here\n\x00\x00\x00\n2026-13-01T00:00:00+00:00 data_check.json\n", 0),
        ("2026-03-01T10:01:00 data_check.json\n", 0),
        (LOG.replace("importance.h5", "importance.other"), 2),
        (LOG[: LOG.index("T09:21")], 4),
    ],
    ids=["missing", "empty", "torn", "without a zone", "a stage cut out", "cut short"],
)
def test_what_the_log_does_not_tell_is_left_out(tmp_path, text, stages):
    if text is not None:
        (tmp_path / "run.log").write_text(text)
    assert len(stage_times(tmp_path / "run.log", BEGUN, STARTS)) == stages


def test_the_report_of_a_run_has_all_stages_and_the_memory_of_the_machine(finished: Path):
    written = json.loads((finished / "run" / "report" / "report.json").read_text())
    found = written["provenance"]
    assert [one["stage"] for one in found["stages"]] == list(ENDS)
    ends = [datetime.fromisoformat(one["ended"]) for one in found["stages"]]
    assert ends == sorted(ends)
    whole = (ends[-1] - datetime.fromisoformat(found["begun"])).total_seconds()
    assert 0 < sum(one["seconds"] for one in found["stages"]) <= whole + 1
    known = Path("/proc/meminfo")
    if not known.exists():
        pytest.skip("no /proc/meminfo on this system")
    total = next(line for line in known.read_text().splitlines() if line.startswith("MemTotal"))
    assert found["memory_bytes"] == pytest.approx(1024 * int(total.split()[1]), rel=0.01)
