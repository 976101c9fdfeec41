"""The short version of `make torture`: some of everything, in a few processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli_runs import PATIENCE_S, environment
from tests.test_house import ROOT


@pytest.mark.slow
def test_a_little_torture_finds_nothing(tmp_path: Path) -> None:
    # Signals are sent by test_interrupted_run; the torture asks besides how soon they end a run.
    amounts = {"kills": 1, "signals": 0, "interruptions": 1, "corruptions": 2, "races": 1}
    options = [text for name, count in amounts.items() for text in (f"--{name}", str(count))]
    done = subprocess.run(
        [
            *(sys.executable, "scripts/torture.py", "--folder", str(tmp_path), "--seed", "7"),
            *options,
        ],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=2 * PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)
    assert found["kills"]["kills"] == 1
    assert found["kills"]["runs"] >= 1
    assert found["interruptions"]["operations"] == 1
    assert sum(found["corruptions"]["outcomes"].values()) == 2
    assert found["races"]["races"] == 1


STAND_IN = """#!/bin/sh
echo "$@" >> "$(dirname "$0")/called"
"""
SLOW = """#!/bin/sh
trap 'exit 138' USR1
trap 'exit 143' TERM
echo "$@" > "$(dirname "$0")/run"
for _ in $(seq 3000); do sleep 0.02; done
"""


@pytest.mark.parametrize(
    ("signal", "code", "is_requeued"), [("USR1", 138, True), ("TERM", 143, False)]
)
def test_the_script_for_slurm_requeues_itself_at_slurms_warning(
    tmp_path: Path, signal: str, code: int, is_requeued: bool
) -> None:
    for name, text in (("scontrol", STAND_IN), ("kvasir-prune", SLOW)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    process = subprocess.Popen(
        ["bash", str(ROOT / "configs" / "slurm" / "requeue.sbatch"), "config.yaml"],
        env={**os.environ, "PATH": path, "SLURM_JOB_ID": "4711"},
    )
    while not (tmp_path / "run").exists():
        assert process.poll() is None
    subprocess.run(["kill", f"-{signal}", str(process.pid)], check=True)
    assert process.wait(PATIENCE_S) == code
    assert (tmp_path / "run").read_text() == "run config.yaml --retries 3\n"
    called = tmp_path / "called"
    assert (called.read_text() if called.exists() else "") == (
        "requeue 4711\n" if is_requeued else ""
    )
