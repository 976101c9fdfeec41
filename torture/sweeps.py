"""SIGKILLs to the driver and to the workers of a sweep of a hundred trials."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from kvasir_prune.progress import Progress

SWEEP = """\
name: torture
run:
  data: {source: digits, limit_per_class: 40}
  model: {name: ann}
  training: {max_epochs: 2}
  pruning: {ignore_below: -1.0e-3}
  evaluation: {every_removals: 100, latency_s: 0.0}
settings:
  validation: {}
  train: {importance.split: train}
grid:
  pruning.strategy: [greedy, pre_calculated]
seeds: 25
"""
TRIALS = 100
TABLES = ("trials.csv", "summary.csv")
WORKERS = 2
START_S = 15.0
"""Starting Ray and Keras takes about so long; a kill before that falls on nothing."""
LOOK_EVERY_S = 0.05


def kill_sweeps(place: Path, count: int, seed: int, progress: Progress) -> dict[str, object]:
    """Kill a sweep again and again, its driver as often as one of its workers.

    Ray starts a trial again whose worker died; a driver that died is started again here.

    Args:
        place: folder to work in.
        count: of kills.
        seed: of the moments and the victims.
        progress: told of every kill.

    Returns:
        `trials`, `sweeps` that were finished, `kills` by victim, and `faults`, a line each.
    """
    left_alone, random = place / "left-alone", np.random.default_rng(seed)
    faults, kills, sweeps = list[str](), Counter[str](), 0
    began = time.monotonic()
    code, said = _ended(_started(left_alone))
    if code != 0:
        raise RuntimeError(said)
    # A kill in the twentieth part of the time, so that most of them find trials under way.
    often_s = (time.monotonic() - began - START_S) / count
    with progress.task("SIGKILLs to a sweep", count) as task:
        while kills.total() < count:
            folder = place / "killed"
            shutil.rmtree(folder, ignore_errors=True)
            while True:
                driver = _started(folder)
                while kills.total() < count:
                    victim = str(random.choice(["driver", "worker"]))
                    if not _strike(driver, folder, victim, random.uniform(0, 2 * often_s)):
                        break
                    kills[victim] += 1
                    task.advance(**kills)
                    if victim == "driver":
                        break
                code, said = _ended(driver)
                if code != -signal.SIGKILL:
                    break
            sweeps += 1
            faults += [] if code == 0 else [f"exit code {code}: {said}"]
            faults += list(_differences(folder, left_alone))
    return {"trials": TRIALS, "sweeps": sweeps, "kills": dict(kills), "faults": faults}


def _started(folder: Path) -> subprocess.Popen[str]:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "sweep.yaml").write_text(SWEEP)
    arguments = ("sweep", "sweep.yaml", "--folder", "torture", "--workers", str(WORKERS))
    return subprocess.Popen(
        [sys.executable, "-m", "kvasir_prune", *arguments],
        cwd=folder,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def _ended(driver: subprocess.Popen[str]) -> tuple[int, str]:
    _, said = driver.communicate()
    return driver.returncode, said


def _strike(driver: subprocess.Popen[str], folder: Path, victim: str, later_s: float) -> bool:
    """Kill the driver, or a process that owns a trial, some time after one is at work.

    Returns:
        Whether something was killed; not if the sweep has ended.
    """
    moment: float | None = None
    while driver.poll() is None:
        owners = list(_at_work(folder))
        if owners and moment is None:
            moment = time.monotonic() + later_s
        if owners and moment is not None and time.monotonic() >= moment:
            os.kill(driver.pid if victim == "driver" else owners[0], signal.SIGKILL)
            return True
        time.sleep(LOOK_EVERY_S)
    return False


def _at_work(folder: Path) -> Iterator[int]:
    for path in folder.glob("**/.owner.json"):
        if path.parent == folder / "torture":
            continue
        try:
            process = int(json.loads(path.read_text())["process"])
        except (OSError, ValueError, KeyError):
            continue
        if Path(f"/proc/{process}/cmdline").exists():
            yield process


def _differences(folder: Path, expected: Path) -> Iterator[str]:
    for name in TABLES:
        ours, theirs = (_rows(place / "torture" / "tables" / name) for place in (folder, expected))
        if ours != theirs:
            yield f"{name} differs"
        if name == TABLES[0] and len(ours) != TRIALS:
            yield f"{len(ours)} of {TRIALS} trials are in the table"


def _rows(path: Path) -> list[dict[str, str]]:
    """Read a table without the times, which are other ones in every run."""
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    return [
        {key: value for key, value in row.items() if not key.startswith("seconds.")}
        for row in rows
        if not row.get("quantity", "").startswith("seconds.")
    ]
