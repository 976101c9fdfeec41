"""The run folder: its files, its one owner, and the refusal of what does not belong to it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kvasir_prune.errors import RunFolderError
from kvasir_prune.experiment.ownership import owning
from kvasir_prune.ledger import run_record
from kvasir_prune.publish import MENDED_BY, previous, storage_error, sweep_partials


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
    def checkpoint(self) -> Path:
        """State of the training after its last epoch (HDF5)."""
        return self.training / "checkpoint.h5"

    @property
    def initial_weights(self) -> Path:
        """What came of drawing the initial weights anew, if that was asked for (JSON)."""
        return self.training / "initial_weights.json"

    @property
    def drawn_weights(self) -> Path:
        """Initial weights while they are drawn anew (HDF5)."""
        return self.training / "initial_weights.partial.h5"

    @property
    def data_check(self) -> Path:
        """Whether a comparison on the images can be trusted (JSON)."""
        return self.path / "data_check.json"

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
    def log(self) -> Path:
        """One line for every commit (text)."""
        return self.path / "run.log"

    @property
    def events(self) -> Path:
        """TensorBoard events of the pruning."""
        return self.path / "tensorboard"

    @property
    def pruned(self) -> Path:
        """The network without the removed nodes."""
        return self.path / "pruned.keras"

    @property
    def evaluation(self) -> Path:
        """Logits of every image before and after (HDF5)."""
        return self.path / "evaluation.h5"

    @property
    def partial_logits(self) -> Path:
        """Logits of an evaluation under way (HDF5)."""
        return self.path / "evaluation.partial.h5"

    @property
    def thumbnails(self) -> Path:
        """Small pictures of the images that the report shows (HDF5)."""
        return self.path / "thumbnails.h5"

    @property
    def cost(self) -> Path:
        """Parameters, FLOPs and bytes before and after (JSON)."""
        return self.path / "cost.json"

    @property
    def latency(self) -> Path:
        """Milliseconds for an answer before, masked and cut (JSON)."""
        return self.path / "latency.json"

    @property
    def report(self) -> Path:
        """Folder of the report."""
        return self.path / "report"

    @property
    def imported(self) -> Path:
        """Record of the logs of 2020 that were imported here; a run has none (JSON)."""
        return self.report / "imported.json"

    @property
    def report_files(self) -> tuple[Path, ...]:
        """The report; its last file is written last."""
        return tuple(self.report / f"report.{kind}" for kind in ("md", "html", "json"))

    @property
    def finished_files(self) -> tuple[Path, ...]:
        """Files whose digests `run.json` holds once they are finished."""
        images = (self.data, self.split, self.data_check)
        networks = (self.history, self.model, self.pruned, self.cost, self.latency)
        return (*images, *networks, *self.report_files)

    @property
    def made_from_ledger(self) -> tuple[Path, ...]:
        """Files that are a function of the ledger, and the report, without which it is unfinished.

        They are forgotten whenever the ledger is another one.
        """
        logits = (self.evaluation, self.partial_logits, self.thumbnails)
        return (self.pruned, self.cost, self.latency, *logits, *self.report_files)

    def create(self) -> None:
        """Make the folder, or accept one that is empty or already a run's.

        Raises:
            RunFolderError: it cannot be made or written, or holds something else.
            StorageError: the disk is full or read-only.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            foreign = [p.name for p in self.path.iterdir() if not p.name.startswith(".")]
            if foreign and not (self.record.exists() or previous(self.record).exists()):
                raise RunFolderError(
                    "The run folder holds other files and is no run.",
                    where=self.path,
                    got=", ".join(sorted(foreign)[:5]),
                    expected="an empty or new folder, or one of an earlier run",
                    fix="give another folder with --run-dir",
                )
            self._check_writable()
        except OSError as error:
            if error.errno in MENDED_BY:
                raise storage_error(error, self.path) from None
            raise RunFolderError(
                "The run folder cannot be made or written.",
                where=self.path,
                got=error.strerror,
                fix="give a folder of yours with --run-dir, or mend its permissions",
            ) from None

    @contextmanager
    def owned(self) -> Iterator[None]:
        """Own the folder for the time of a `with` block; what a killed owner left is swept up.

        Raises:
            RunFolderError: another process owns it.
        """
        with owning(self.path):
            sweep_partials(self.path)
            yield

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
        return run_record.read(self.record)

    def forget(self, record: Mapping[str, Any], *paths: Path) -> dict[str, Any]:
        """Delete files and what the record knows of them; return the record."""
        # The digests last: killed in between, they tell that something is missing.
        for path in paths:
            path.unlink(missing_ok=True)
        rest = run_record.without(record, *paths)
        if rest != record:
            self.write_record_for_good(rest)
        return rest

    def write_record(self, record: Mapping[str, Any]) -> None:
        """Publish `run.json`."""
        run_record.write(self.record, record)

    def write_record_for_good(self, record: Mapping[str, Any]) -> None:
        """Publish `run.json` so that the one before the last says the same.

        For what must not come back, or be forgotten, when the last is damaged.
        """
        for _ in range(2):
            self.write_record(record)

    def _check_writable(self) -> None:
        probe = self.path / f".write-test.{os.getpid()}.partial"
        probe.touch()
        probe.unlink(missing_ok=True)
