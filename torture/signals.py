"""SIGINT, SIGTERM and SIGUSR1 at random moments over whole runs, and how soon they end them."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from kvasir_prune.cli.signals import WATCHED
from kvasir_prune.experiment.ownership import OWNER
from torture.case import RUN, Ground, differences, result_of, unreadable
from torture.kills import SHARE, fresh
from torture.nursery import Child

PROMISED_S = 5.0
"""From a signal to the end of the process."""


@dataclass
class Signals:
    """What came of signals.

    Attributes:
        signals: that stopped a run.
        outside: that came when the process had its folder not yet, or no longer.
        runs: finished after having been stopped.
        slowest_s: signal -> most seconds from it to the end of the process.
        faults: what was found, a line each.
    """

    signals: int = 0
    outside: int = 0
    runs: int = 0
    slowest_s: dict[str, float] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)


def send(ground: Ground, count: int, seed: int) -> Signals:
    """Stop runs of the case, each again and again until it gets to its end.

    Args:
        ground: where.
        count: of signals.
        seed: of the moments.
    """
    found, random = Signals(), np.random.default_rng(seed)
    with ground.progress.task("Signals at random moments", count) as task:
        while found.signals < count:
            folder, code = fresh(ground.case, ground.place / "signalled"), None
            while code != 0 and not found.faults:
                child = ground.nursery.start(folder, RUN)
                _wait_for_owner(child, folder / "run")
                code = child.wait(time.monotonic() + random.uniform(0, ground.case.seconds / SHARE))
                if code is None and found.signals < count:
                    before = found.signals
                    code = _stop(found, child, folder / "run")
                    task.advance(found.signals - before, faults=len(found.faults))
                else:
                    code = child.wait()
                    found.faults += [] if code == 0 else [f"{code}: {child.log.read_text()}"]
            if found.faults:
                return found
            found.runs += 1
            parts = differences(result_of(folder / "run"), ground.case.result)
            found.faults += [f"after {found.signals} signals: {part}" for part in parts]
    return found


def _wait_for_owner(child: Child, run: Path) -> None:
    """Wait until a process has its folder: before that a signal ends it as any other."""
    while child.status() is None and not (run / OWNER).exists():
        time.sleep(0.001)


def _stop(found: Signals, child: Child, run: Path) -> int | None:
    """Send the next signal; return the exit code that it led to."""
    number = WATCHED[found.signals % len(WATCHED)]
    name, began = signal.Signals(number).name, time.monotonic()
    os.kill(child.process, number)
    code = child.wait()
    took, said = time.monotonic() - began, child.log.read_text()
    if code in (0, -number):
        found.outside += 1
        return code
    found.signals += 1
    found.slowest_s[name] = max(took, found.slowest_s.get(name, 0.0))
    wrong = [f"{file} cannot be read" for file in unreadable(run)]
    if code != 128 + number or "To go on: " not in said:
        wrong.append(f"exit code {code}: {said}")
    if took > PROMISED_S:
        wrong.append(f"it took {took:.1f} s")
    if (run / OWNER).exists():
        wrong.append("the folder was not given up")
    found.faults += [f"signal {found.signals}, {name}: {fault}" for fault in wrong]
    return code
