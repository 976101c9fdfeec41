"""The promise: a run that was killed, at any moment, ends exactly as one that was left alone."""

from __future__ import annotations

import json
import shlex
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from tests.cli_runs import (
    AFTER_IMPORTANCE,
    RUN,
    arrays_of,
    copy_of,
    ended_by,
    finish,
    reach,
    write_config,
)
from torture.nursery import Nursery

NETWORK = {
    "name": "stopped",
    "data": {"source": "digits", "limit_per_class": 60},
    "model": {"name": "mlp", "dropout": 0.2},
    "training": {
        "max_epochs": 40,
        "batch_size": 8,
        "optimizer": {"name": "adam", "learning_rate": 0.01},
        "early_stopping": {"patience": 4},
    },
    "pruning": {"ignore_below": -5e-4, "commit_every_s": 0.0},
    "evaluation": {"every_removals": 20},
}
SEED = 2020
"""Decides the moments at which runs are stopped."""


@pytest.fixture(scope="module")
def left_alone(tmp_path_factory: pytest.TempPathFactory, nursery: Nursery) -> Path:
    """Give the folder of a run that nobody disturbed."""
    place = tmp_path_factory.mktemp("left_alone")
    write_config(place, {}, NETWORK)
    finish(nursery, place, *RUN)
    return place / "run"


@pytest.mark.slow
def test_a_run_left_alone_exercises_every_part_of_the_state(left_alone: Path) -> None:
    record = json.loads((left_alone / "report" / "report.json").read_text())["results"]
    assert record["training"]["stopped_early"]
    assert 4 <= record["training"]["best_epoch"] < len(record["training"]["epochs"])
    assert sum(layer["removed"] > 5 for layer in record["layers"]) >= 2
    assert record["pruning"]["ignored"] > 5


@pytest.mark.slow
def test_a_run_killed_at_random_moments_ends_like_one_left_alone(
    left_alone: Path, nursery: Nursery, tmp_path: Path
) -> None:
    write_config(tmp_path, {}, NETWORK)
    run = tmp_path / "run"
    random = np.random.default_rng(SEED)
    epochs, evaluations = _epochs(left_alone), _evaluations(left_alone)
    rarely = ("--set", "pruning.commit_every_s=0.2")
    moments: list[tuple[str, Callable[[Path], int], int, tuple[str, ...]]] = [
        ("train", _epochs, int(random.integers(1, epochs // 3)), ()),
        ("train", _epochs, int(random.integers(epochs // 3, epochs - 3)), ()),
        ("importance", _measured, int(random.integers(5, 100)), ()),
        ("prune", _evaluations, int(random.integers(evaluations // 10, evaluations // 2)), rarely),
    ]
    for stage, count, least, options in moments:
        _kill_in(
            nursery,
            stage,
            lambda count=count, least=least: count(run) >= least,
            tmp_path,
            *RUN,
            *options,
            later_s=random.uniform(0, 0.15),
        )
    finish(nursery, tmp_path, *RUN)
    _assert_same(run, left_alone)


@pytest.mark.slow
def test_signals_in_the_pruning_change_nothing_but_the_time(
    left_alone: Path, nursery: Nursery, tmp_path: Path
) -> None:
    run = copy_of(left_alone.parent, tmp_path, *AFTER_IMPORTANCE)
    evaluations = _evaluations(left_alone)
    arguments: list[str] = [*RUN]
    for number, least in (
        (signal.SIGINT, evaluations // 10),
        (signal.SIGTERM, evaluations // 3),
        (signal.SIGUSR1, evaluations // 2),
    ):
        said = _stopped_by(nursery, number, least, tmp_path, arguments)
        assert "Traceback" not in said
        assert f"Stopped by signal {number:d}; everything committed is safe." in said
        assert not list(run.rglob("*.partial*"))
        assert not (run / ".owner.json").exists()
        assert _stage(run) == "prune"
        arguments = _resume_command(said)
    finish(nursery, tmp_path, *arguments)
    _assert_same(run, left_alone)


def _kill_in(
    nursery: Nursery,
    stage: str,
    moment: Callable[[], bool],
    cwd: Path,
    *arguments: str,
    later_s: float,
) -> None:
    """Kill a run some time after a moment; where the stage was over by then, try again sooner."""
    run, kept = cwd / "run", cwd / "kept"
    if run.exists():
        shutil.copytree(run, kept)
    for attempt in range(5):
        child = nursery.start(cwd, arguments)
        reach(moment, child)
        time.sleep(later_s / 4**attempt)
        code = ended_by(signal.SIGKILL, child)
        if code == -signal.SIGKILL and _stage(run) == stage:
            break
        shutil.rmtree(run)
        if kept.exists():
            shutil.copytree(kept, run)
    assert (code, _stage(run)) == (-signal.SIGKILL, stage)
    shutil.rmtree(kept, ignore_errors=True)


def _stopped_by(nursery: Nursery, number: int, least: int, cwd: Path, arguments: list[str]) -> str:
    """Signal a run at some evaluation; where it was over before the signal came, try again."""
    kept = cwd / f"before-{number}"
    shutil.copytree(cwd / "run", kept)
    for _ in range(5):
        child = nursery.start(cwd, arguments)
        reach(lambda: _evaluations(cwd / "run") >= least, child)
        code = ended_by(number, child)
        if code != 0:
            break
        shutil.rmtree(cwd / "run")
        shutil.copytree(kept, cwd / "run")
    assert code == 128 + number, child.log.read_text()
    return child.log.read_text()


def _resume_command(said: str) -> list[str]:
    (line,) = (line for line in said.splitlines() if line.startswith("To go on: "))
    program, *arguments = shlex.split(line.removeprefix("To go on: "))
    assert program == "kvasir-prune"
    return arguments


def _epochs(run: Path) -> int:
    """Count the epochs of which the run folder knows."""
    path = run / "training" / "history.csv"
    return len(path.read_text().splitlines()) - 1 if path.exists() else 0


def _measured(run: Path) -> int:
    """Count the nodes whose importance is stored."""
    if not (run / "importance.h5").exists():
        return 0
    with h5py.File(run / "importance.h5") as file:
        return len(file["nodes"])


def _evaluations(run: Path) -> int:
    """Count the scored candidates that the ledger knows."""
    if not (run / "pruning.h5").exists():
        return 0
    with h5py.File(run / "pruning.h5") as file:
        events = [int(n) for t in ("removed", "ignored") for n in file[t]["evaluations"]]
        return max(events, default=0) + len(file["scores"])


def _stage(run: Path) -> str:
    """Say by the files alone in which stage a run was stopped."""
    if not (run / "model.keras").exists():
        return "train"
    if _measured(run) < 128 + 64 + 32:
        return "importance"
    return "prune" if not (run / "pruned.keras").exists() else "later"


def _assert_same(run: Path, other: Path) -> None:
    """Assert that two runs are one, bit for bit, but for when and where they were made."""
    for name in ("split.csv", "training/history.csv", "cost.json", "data.json"):
        assert (run / name).read_bytes() == (other / name).read_bytes(), name
    stored = ("importance.h5", "pruning.h5", "evaluation.h5", "model.keras", "pruned.keras")
    for name in stored:
        ours, theirs = arrays_of(run / name), arrays_of(other / name)
        assert ours.keys() == theirs.keys()
        for key, values in ours.items():
            assert values.dtype == theirs[key].dtype
            assert values.tobytes() == theirs[key].tobytes(), f"{name}: {key}"
    for name in ("importance.h5", "pruning.h5"):
        with h5py.File(run / name) as ours, h5py.File(other / name) as theirs:
            assert dict(ours.attrs) == dict(theirs.attrs), name
    reports = [
        json.loads((folder / "report" / "report.json").read_text()) for folder in (run, other)
    ]
    for report in reports:
        del report["provenance"]
    assert reports[0] == reports[1]
