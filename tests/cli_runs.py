"""The command line in processes of its own, and one finished run for tests to copy."""

from __future__ import annotations

import copy
import io
import json
import os
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import yaml
from filelock import FileLock

from kvasir_prune.experiment.folder import RunFolder
from kvasir_prune.ledger import run_record
from kvasir_prune.ledger.hdf5_file import seal
from torture.nursery import Child, Nursery

PATIENCE_S = 300
"""After this a process counts as hung; nothing is expected to come near it."""
RUN = ("run", "config.yaml", "--run-dir", "run")
AFTER_LEDGER = (
    "pruned.keras",
    "evaluation.h5",
    "cost.json",
    "latency.json",
    "thumbnails.h5",
    "report",
)
AFTER_IMPORTANCE = ("pruning.h5", "pruning.previous.h5", *AFTER_LEDGER)
AFTER_TRAINING = ("importance.h5", "importance.previous.h5", *AFTER_IMPORTANCE)
DIGITS: dict[str, Any] = {
    "name": "tiny",
    "data": {"source": "digits", "limit_per_class": 40},
    "model": {"name": "ann"},
    "training": {"max_epochs": 3},
    "pruning": {"ignore_below": -1e-3},
    "evaluation": {"every_removals": 20, "latency_s": 0.0},
    "report": {"non_inferiority_margin": 0.05},
    "runtime": {"threads": 1},
}
"""One thread, as a sweep's trials have: a process that has computed cannot change their number."""
LOUD = ("GITHUB_ACTIONS", "FORCE_COLOR", "PY_COLORS", "KVASIR_PRUNE_DATA")
"""Variables that would colour the output or move the data."""


@dataclass(frozen=True)
class Outcome:
    """What a command left behind."""

    code: int
    out: str
    err: str

    def refused(self, *facts: object) -> str:
        """Assert that the user's input was refused in words that hold `facts`; return them."""
        assert self.code == 2, self.err
        assert "Traceback" not in self.err
        assert "kvasir-prune: " in self.err
        sentence = self.err[self.err.index("kvasir-prune: ") :]
        for fact in facts:
            assert str(fact) in sentence
        return sentence

    def succeeded(self) -> Outcome:
        """Assert that all went well."""
        assert self.code == 0, self.err
        assert "Traceback" not in self.err
        return self


def environment(**extra: str) -> dict[str, str]:
    """Return the environment of a command: no accelerator, no colours, wide lines.

    Ray starts its workers with the niceness 15: beside other tests they would hardly get on.
    """
    kept = {name: value for name, value in os.environ.items() if name not in LOUD}
    quiet = {"CUDA_VISIBLE_DEVICES": "", "TF_CPP_MIN_LOG_LEVEL": "3", "COLUMNS": "200"}
    return {**kept, **quiet, "NO_COLOR": "1", "RAY_worker_niceness": "0", **extra}


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "kvasir_prune", *map(str, arguments)]


def call(*arguments: object, cwd: Path, **extra: str) -> Outcome:
    """Run one command in a process of its own; `extra` are environment variables."""
    return python(*command(*arguments)[1:], cwd=cwd, **extra)


@contextmanager
def running(*arguments: object, cwd: Path, **extra: str) -> Iterator[subprocess.Popen[str]]:
    """Start one command in a process of its own, which does not outlive the block."""
    with subprocess.Popen(
        command(*arguments),
        cwd=cwd,
        env=environment(**extra),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def python(*arguments: object, cwd: Path, **extra: str) -> Outcome:
    """Run Python in a process of its own, as `call` does."""
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=cwd,
        env=environment(**extra),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    return Outcome(done.returncode, done.stdout, done.stderr)


class Forbidden:
    """Modules that leave a mark when a process imports them, and then fail.

    Args:
        folder: receives them; made.
        names: of the modules.
    """

    def __init__(self, folder: Path, *names: str) -> None:
        self.folder = folder
        folder.mkdir()
        for name in names:
            mark = "import pathlib\npathlib.Path(__file__).with_suffix('.mark').touch()\n"
            (folder / f"{name}.py").write_text(f"{mark}raise ImportError('forbidden here')\n")

    def call(self, *arguments: object, cwd: Path) -> Outcome:
        """Run a command; assert that it imports none of the modules."""
        paths = (str(self.folder), os.environ.get("PYTHONPATH", ""))
        done = call(*arguments, cwd=cwd, PYTHONPATH=os.pathsep.join(filter(None, paths)))
        assert self.marks() == []
        return done

    def marks(self) -> list[str]:
        """Return the modules that were imported."""
        return sorted(mark.stem for mark in self.folder.glob("*.mark"))


class Server:
    """A process that runs commands one after another; the first that needs TensorFlow loads it."""

    def __enter__(self) -> Server:
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("cli_server.py"))],
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(self, *_error: object) -> None:
        self._process.communicate(timeout=PATIENCE_S)

    def call(self, *arguments: object, cwd: Path) -> Outcome:
        """Run one command."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([list(map(str, arguments)), str(cwd)]) + "\n")
        self._process.stdin.flush()
        return Outcome(*json.loads(self._process.stdout.readline()))


def settings(changes: Mapping[str, Any], base: Mapping[str, Any] = DIGITS) -> dict[str, Any]:
    """Return `base` with changes, YAML path -> value."""
    document = copy.deepcopy(dict(base))
    for path, value in changes.items():
        *sections, key = path.split(".")
        target = document
        for section in sections:
            target = target.setdefault(section, {})
        target[key] = value
    return document


def write_config(
    folder: Path, changes: Mapping[str, Any], base: Mapping[str, Any] = DIGITS
) -> Path:
    """Write `base` with changes as `config.yaml`."""
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(settings(changes, base)), encoding="utf-8")
    return path


def finished_run(factory: pytest.TempPathFactory) -> Path:
    """Return a folder with `config.yaml`, its finished run in `run`, and what it printed.

    It is made once for all processes of a test run, and never written again.
    """
    base = factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder = shared / "finished"
    with FileLock(shared / "finished.lock"):
        if not (folder / "out.txt").exists():
            folder.mkdir(exist_ok=True)
            config = write_config(folder, {})
            done = call("run", config.name, "--run-dir", "run", cwd=folder).succeeded()
            (folder / "err.txt").write_text(done.err, encoding="utf-8")
            (folder / "out.txt").write_text(done.out, encoding="utf-8")
    return folder


def copy_of(finished: Path, place: Path, *without: str) -> Path:
    """Copy a finished run and its configuration to `place`; return the run folder.

    Args:
        finished: what `finished_run` gave.
        place: existing folder.
        without: files and folders of the run to leave out, as if it had not come to them.
    """
    shutil.copy2(finished / "config.yaml", place)
    run = place / "run"
    shutil.copytree(finished / "run", run)
    for name in without:
        shutil.rmtree(run / name) if (run / name).is_dir() else (run / name).unlink()
    record = run_record.read(run / "run.json")
    assert record is not None
    known = RunFolder(run).finished_files
    if gone := [path for path in known if path.name in record["files"] and not path.exists()]:
        run_record.write(run / "run.json", run_record.without(record, *gone))
    return run


def reseal(run: Path, *paths: Path) -> None:
    """Let changed files pass for the run's own."""
    record = run_record.read(run / "run.json")
    assert record is not None
    run_record.write(run / "run.json", run_record.sealed(record, *paths))


@contextmanager
def rewriting(path: Path) -> Iterator[h5py.File]:
    """Give an HDF5 file of a run to be changed, and let it pass for whole afterwards."""
    with h5py.File(path, "r+") as file:
        yield file
    seal(path)


def replace(file: h5py.File, name: str, array: np.ndarray) -> None:
    """Put an array in the place of a dataset that may have another shape."""
    del file[name]
    file.create_dataset(name, data=array)


def contents(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Return name -> bytes and time of change (ns) of every file in a tree."""
    return {
        path.relative_to(folder).as_posix(): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def arrays_of(path: Path) -> dict[str, np.ndarray]:
    """Return name -> array of everything in an HDF5 file, or in the weights of a Keras file."""
    if path.suffix == ".keras":
        with zipfile.ZipFile(path) as archive:
            content = io.BytesIO(archive.read("model.weights.h5"))
    else:
        content = io.BytesIO(path.read_bytes())
    with h5py.File(content) as file:
        return {dataset.name: np.asarray(dataset[()]) for dataset in _datasets(file)}


def change_weights(model: Path, change: Callable[[Any], Any]) -> None:
    """Change every array of a Keras file, without Keras."""
    with zipfile.ZipFile(model) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    weights = io.BytesIO(parts["model.weights.h5"])
    with h5py.File(weights, "r+") as file:
        arrays = _datasets(file)
        assert sum(array.size for array in arrays) > 1000
        for array in arrays:
            array[...] = change(array[()])
    parts["model.weights.h5"] = weights.getvalue()
    with zipfile.ZipFile(model, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)


def _datasets(file: h5py.File) -> list[h5py.Dataset]:
    found: list[h5py.Dataset] = []
    file.visititems(lambda _, item: found.append(item) if isinstance(item, h5py.Dataset) else None)
    return found


def until(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    """Wait until the condition holds; fail if the process ends before."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        if process.poll() is not None:
            said = process.stderr.read() if process.stderr else ""
            pytest.fail(f"the process ended too early, with {process.returncode}: {said}")
        assert time.monotonic() < deadline, "nothing happened"
        time.sleep(0.002)


def finish(nursery: Nursery, cwd: Path, *arguments: str) -> None:
    """Do a command to its end."""
    child = nursery.start(cwd, arguments)
    assert child.wait(time.monotonic() + PATIENCE_S) == 0, child.log.read_text()


def reach(moment: Callable[[], bool], child: Child) -> None:
    """Wait for a moment of a run, or for its end."""
    until = time.monotonic() + PATIENCE_S
    while not moment() and child.status() is None:
        assert time.monotonic() < until, child.log.read_text()
        time.sleep(0.005)


def ended_by(number: int, child: Child) -> int | None:
    """Send a signal; return the exit code."""
    if child.status() is None:
        os.kill(child.process, number)
    return child.wait(time.monotonic() + PATIENCE_S)


def assert_same_results(run: Path, other: Path, *more: str) -> None:
    """Assert that two runs have the same bits in all records, in the cut network and in `more`."""
    for name in ("pruning.h5", "importance.h5", "evaluation.h5", "pruned.keras", *more):
        found, expected = (arrays_of(folder / name) for folder in (run, other))
        assert {k: v.tobytes() for k, v in found.items()} == {
            k: v.tobytes() for k, v in expected.items()
        }, name
