"""SIGKILLs at random moments over whole runs."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from kvasir_prune.experiment.folder import RunFolder
from kvasir_prune.experiment.status import status_of
from torture.case import RUN, Case, Ground, differences, removals, result_of, unreadable

SHARE = 4
"""A process lives for up to a fourth of an undisturbed run: most runs are killed several times."""


@dataclass
class Kills:
    """What came of killing.

    Attributes:
        kills: SIGKILLs.
        runs: finished after having been killed.
        stages: stage -> kills in it.
        unreadable, lost, differing: what was found, a line each.
    """

    kills: int = 0
    runs: int = 0
    stages: Counter[str] = field(default_factory=Counter)
    unreadable: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    differing: list[str] = field(default_factory=list)

    @property
    def faults(self) -> list[str]:
        """Return every line."""
        return [*self.unreadable, *self.lost, *self.differing]


def kill(ground: Ground, count: int, seed: int) -> Kills:
    """Kill runs of the case, each again and again until it gets to its end.

    Args:
        ground: where.
        count: of kills.
        seed: of the moments.
    """
    found, random = Kills(), np.random.default_rng(seed)
    with ground.progress.task("SIGKILLs at random moments", count) as task:
        while found.kills < count:
            folder, seen = fresh(ground.case, ground.place / "killed"), list[tuple[int, int]]()
            while True:
                child = ground.nursery.start(folder, RUN)
                code = child.wait(time.monotonic() + random.uniform(0, ground.case.seconds / SHARE))
                if code is None and found.kills < count:
                    os.kill(child.process, signal.SIGKILL)
                    child.wait()
                    found.kills += 1
                    seen = _look(found, folder / "run", seen)
                    task.advance(faults=len(found.faults))
                    continue
                code = child.wait()
                if code != 0:
                    found.differing.append(f"exit code {code}: {child.log.read_text()}")
                else:
                    found.runs += 1
                    parts = differences(result_of(folder / "run"), ground.case.result)
                    found.differing += [f"after {found.kills} kills: {part}" for part in parts]
                break
    return found


def _look(found: Kills, run: Path, seen: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Read what the killed process left; return the removals in it."""
    where = f"kill {found.kills}"
    bad = unreadable(run)
    found.unreadable += [f"{where}: {name}" for name in bad]
    if bad or not (run / "run.json").exists():
        found.stages["start"] += 1
        return seen
    found.stages[status_of(RunFolder(run)).stage] += 1
    now = removals(run)
    if now[: len(seen)] != seen:
        found.lost.append(f"{where}: {len(seen)} removals were committed")
    return now


def fresh(case: Case, folder: Path) -> Path:
    """Return a folder with the configuration of the case and nothing else."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    shutil.copy(case.folder / "config.yaml", folder)
    return folder
