"""The run folder: its files, its one owner, and the refusal of what does not belong to it."""

from __future__ import annotations

import json
import os
import shutil
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from kvasir_prune.errors import RunFolderError
from kvasir_prune.publish import publish_text, sweep_partials

SCHEMA_VERSION = 1
CONTENT = {
    "command": str,
    "created": str,
    "threads": int,
    "identity": dict,
    "versions": dict,
    "digests": dict,
}
"""What `run.json` holds beside its schema version."""


@dataclass(frozen=True)
class RunFolder:
    """One folder for one run.

    Attributes:
        path: the folder; `create` makes it.
    """

    path: Path

    @property
    def record(self) -> Path:
        """What the run is: configuration, versions, digests (JSON)."""
        return self.path / "run.json"

    @property
    def config(self) -> Path:
        """The resolved configuration (YAML)."""
        return self.path / "config.yaml"

    @property
    def data(self) -> Path:
        """Facts about the images, for the report (JSON)."""
        return self.path / "data.json"

    @property
    def split(self) -> Path:
        """Which image is in which split (CSV)."""
        return self.path / "split.csv"

    @property
    def training(self) -> Path:
        """Folder of the training's checkpoints, history and TensorBoard events."""
        return self.path / "training"

    @property
    def history(self) -> Path:
        """The training history (CSV)."""
        return self.training / "history.csv"

    @property
    def model(self) -> Path:
        """The trained network before pruning."""
        return self.path / "model.keras"

    @property
    def importance(self) -> Path:
        """Node importances (HDF5)."""
        return self.path / "importance.h5"

    @property
    def ledger(self) -> Path:
        """The pruning ledger (HDF5)."""
        return self.path / "pruning.h5"

    @property
    def pace(self) -> Path:
        """How fast nodes are scored, for the time left (JSON); no result depends on it."""
        return self.path / "pace.json"

    @property
    def pruned(self) -> Path:
        """The network without the removed nodes."""
        return self.path / "pruned.keras"

    @property
    def evaluation(self) -> Path:
        """Logits of every image before and after (HDF5)."""
        return self.path / "evaluation.h5"

    @property
    def cost(self) -> Path:
        """Parameters, FLOPs and bytes before and after (JSON)."""
        return self.path / "cost.json"

    @property
    def report(self) -> Path:
        """Folder of the report."""
        return self.path / "report"

    def create(self) -> None:
        """Make the folder, or accept one that is empty or already a run's.

        Raises:
            RunFolderError: it cannot be made or written, or holds something else.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            foreign = [p.name for p in self.path.iterdir() if not p.name.startswith(".")]
            if foreign and not self.record.exists():
                raise RunFolderError(
                    "The run folder holds other files and is no run.",
                    where=self.path,
                    got=", ".join(sorted(foreign)[:5]),
                    expected="an empty or new folder, or one of an earlier run",
                    fix="give another folder with --run-dir",
                )
            self._check_writable()
        except OSError as error:
            raise RunFolderError(
                "The run folder cannot be made or written.",
                where=self.path,
                got=error.strerror,
                fix="give a folder of yours with --run-dir, or mend its permissions",
            ) from None

    @contextmanager
    def owned(self) -> Iterator[None]:
        """Own the folder for the time of a `with` block.

        The operating system drops the lock of a process that dies, so none is ever stale.

        Raises:
            RunFolderError: another process owns it.
        """
        lock = FileLock(self.path / ".lock", timeout=0)
        owner = self.path / ".owner.json"
        try:
            with lock:
                sweep_partials(self.path)
                facts = {"process": os.getpid(), "host": socket.gethostname()}
                owner.write_text(json.dumps(facts), encoding="utf-8")
                try:
                    yield
                finally:
                    owner.unlink(missing_ok=True)
        except Timeout:
            raise RunFolderError(
                "Another process is working in this run folder.",
                where=self.path,
                got=_owner(owner),
                fix="wait for it (`kvasir-prune status` shows how far it is), or give another "
                "folder with --run-dir",
            ) from None

    def has_begun(self, record: Mapping[str, Any]) -> bool:
        """Return whether anything was computed that depends on the recorded configuration."""
        return self.split.exists() or "split" in record["digests"]

    def forget_images(self) -> None:
        """Drop what was decoded or rendered here, or the link to it; the user's images stay."""
        for made in (self.path / "cache", self.path / "synthetic_endoscopy"):
            if made.is_symlink():
                made.unlink()
            elif made.exists():
                shutil.rmtree(made)

    def read_record(self) -> dict[str, Any] | None:
        """Return the content of `run.json`; None where there is none.

        Raises:
            RunFolderError: it is damaged or unreadable, or of another schema version.
        """
        try:
            record: dict[str, Any] = json.loads(self.record.read_text(encoding="utf-8"))
            version = record["schema_version"]
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise self._damaged(error) from None
        if version != SCHEMA_VERSION:
            raise RunFolderError(
                "The run folder was written by another version of this package.",
                where=self.record,
                got=f"schema version {version}",
                expected=f"schema version {SCHEMA_VERSION}",
            )
        for key, kind in CONTENT.items():
            if not isinstance(record.get(key), kind):
                raise self._damaged(f"{key}: {record.get(key)!r}")
        return record

    def write_record(self, record: Mapping[str, Any]) -> None:
        """Publish `run.json`."""
        content = {"schema_version": SCHEMA_VERSION, **record}
        publish_text(self.record, json.dumps(content, indent=2) + "\n")

    def _damaged(self, reason: object) -> RunFolderError:
        return RunFolderError(
            "The record of the run is damaged.",
            where=self.record,
            got=reason,
            expected="JSON as this package writes it",
            fix="restore the file from a copy, or give a new folder with --run-dir",
        )

    def _check_writable(self) -> None:
        probe = self.path / f".write-test.{os.getpid()}.partial"
        probe.touch()
        probe.unlink(missing_ok=True)


def _owner(path: Path) -> str:
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        return f"process {facts['process']} on {facts['host']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "an unknown process"
