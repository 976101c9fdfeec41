"""The small case that is tortured, and what its result is."""

from __future__ import annotations

import io
import json
import shutil
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path

import h5py

from kvasir_prune.errors import KvasirPruneError
from kvasir_prune.ledger import HDF5Ledger, run_record
from kvasir_prune.ledger.hdf5_file import check_seal
from kvasir_prune.ledger.recovery import Check
from kvasir_prune.progress import Progress
from torture.nursery import Nursery

CONFIG = """\
name: torture
data: {source: digits, limit_per_class: 60}
model: {name: mlp, dropout: 0.2}
training:
  max_epochs: 12
  batch_size: 16
  optimizer: {name: adam, learning_rate: 0.01}
  early_stopping: {patience: 4}
  commit_every_s: 0
  rerandomisation: {minimum_important: 0.9, tries: 3}
pruning: {ignore_below: -5.0e-4, commit_every_s: 0.02}
evaluation: {every_removals: 100, latency_s: 0.0}
runtime: {threads: 1}
"""
RUN = ("run", "config.yaml", "--run-dir", "run")
RECORDS = ("pruning.h5", "importance.h5", "evaluation.h5")
MODELS = ("model.keras", "pruned.keras")
AFTER_IMPORTANCE = ("pruning*.h5", "pruned.keras", "evaluation.h5", "thumbnails.h5", "report")
Result = dict[str, bytes]


@dataclass(frozen=True)
class Case:
    """A finished run that nobody disturbed.

    Attributes:
        folder: holds `config.yaml` and `run/`.
        result: of the run.
        seconds: that it took.
    """

    folder: Path
    result: Result
    seconds: float

    def copy(self, to: Path, *without: str) -> Path:
        """Copy the folder, but for some of the run's files (patterns); return the run's own."""
        shutil.rmtree(to, ignore_errors=True)
        shutil.copytree(self.folder, to)
        for path in [path for name in without for path in (to / "run").glob(name)]:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        return to / "run"


@dataclass(frozen=True)
class Ground:
    """Where the case is tortured.

    Attributes:
        case: undisturbed.
        nursery: starts commands.
        place: folder to work in, on the file system that is tested.
        progress: told of everything that takes long.
    """

    case: Case
    nursery: Nursery
    place: Path
    progress: Progress


def make_case(folder: Path, nursery: Nursery) -> Case:
    """Run the case once, from the data to the report.

    Raises:
        RuntimeError: it does not work even when nobody disturbs it.
    """
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(CONFIG)
    began = time.monotonic()
    child = nursery.start(folder, RUN)
    if child.wait() != 0:
        raise RuntimeError(child.log.read_text())
    return Case(folder, result_of(folder / "run"), time.monotonic() - began)


def result_of(run: Path) -> Result:
    """Return what a run has found: events, weights, logits, split, and the report's results."""
    found: Result = {"split.csv": (run / "split.csv").read_bytes()}
    for name in (*RECORDS, *MODELS):
        try:
            with h5py.File(io.BytesIO(_hdf5_of(run / name))) as file:
                found |= {f"{name}:{key}": rows for key, rows in _datasets(file)}
        except (OSError, KeyError, zipfile.BadZipFile) as error:
            found[name] = repr(error).encode()
    content = (run / "report" / "report.json").read_bytes()
    try:
        report = json.loads(content)
        del report["provenance"]
        found["report.json"] = json.dumps(report, sort_keys=True).encode()
    except (ValueError, KeyError):
        found["report.json"] = content
    return found


def _hdf5_of(path: Path) -> bytes:
    if path.name not in MODELS:
        return path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        return archive.read("model.weights.h5")


def differences(found: Result, expected: Result) -> list[str]:
    """Return the names of the parts that differ."""
    return sorted(name for name in {**found, **expected} if found.get(name) != expected.get(name))


def unreadable(run: Path) -> list[str]:
    """Return the files of a run that was killed which a reader cannot read."""
    bad = []
    checks: dict[str, Check] = dict.fromkeys((*RECORDS, "training/checkpoint.h5"), check_seal)
    for name, check in {**checks, "run.json": run_record.check}.items():
        try:
            if (run / name).exists():
                check(run / name)
        except KvasirPruneError:
            bad.append(name)
    for name in MODELS:
        try:
            if (run / name).exists() and zipfile.ZipFile(run / name).testzip():
                bad.append(name)
        except (zipfile.BadZipFile, OSError):
            bad.append(name)
    return bad


def removals(run: Path) -> list[tuple[int, int]]:
    """Return the (layer, node) pairs that the ledger holds, in order."""
    if not (run / "pruning.h5").exists():
        return []
    state = HDF5Ledger(run / "pruning.h5").state
    return [(layer, node) for layer, nodes in enumerate(state.removed) for node in nodes]


def _datasets(group: h5py.Group) -> list[tuple[str, bytes]]:
    found: list[tuple[str, bytes]] = []

    def take(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset):
            found.append((name, item[()].tobytes()))

    group.visititems(take)
    return found
