"""The folder of a sweep: its record, its trials, its tables, and the refusal of another sweep."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kvasir_prune.config import identity
from kvasir_prune.config.sweep import Sweep
from kvasir_prune.errors import RunFolderError
from kvasir_prune.experiment.ownership import owning
from kvasir_prune.ledger.identity import check
from kvasir_prune.publish import publish_text, sweep_partials

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class SweepFolder:
    """One folder for one sweep.

    Attributes:
        path: the folder.
    """

    path: Path

    @property
    def record(self) -> Path:
        """Which settings it holds (JSON)."""
        return self.path / "sweep.json"

    @property
    def trials(self) -> Path:
        """Folder of the trials, SETTING/seed-NNNN."""
        return self.path / "trials"

    @property
    def tables(self) -> Path:
        """Folder of the tables (CSV)."""
        return self.path / "tables"

    def check(self, sweep: Sweep) -> None:
        """Refuse a folder that holds something else; settings and seeds may have been added.

        Raises:
            RunFolderError: another sweep's, or no sweep's.
        """
        if not self.record.exists():
            foreign = [p.name for p in self.path.glob("*") if not p.name.startswith(".")]
            if foreign:
                raise RunFolderError(
                    "The folder of the sweep holds other files and is no sweep.",
                    where=self.path,
                    got=", ".join(sorted(foreign)[:5]),
                    expected="a new or empty folder, or one of this sweep",
                    fix="give another one with --folder",
                )
            return
        stored, now = self._stored(), _settings(sweep)
        gone = [name for name in stored if name not in now]
        if gone:
            raise RunFolderError(
                "The folder belongs to another sweep: it has settings that this one has not.",
                where=self.path,
                got=", ".join(gone[:5]),
                expected=", ".join(list(now)[:5]),
                fix="give another folder with --folder, or put the settings back",
            )
        for name, keys in stored.items():
            kind = f"sweep, in which setting {name} is another one"
            where, option = self.path, "--folder"
            check(keys, now[name], where=where, kind=kind, holder="folder", option=option)

    @contextmanager
    def owned(self, sweep: Sweep) -> Iterator[None]:
        """Make the folder, or accept it, and own it for the time of a `with` block.

        Raises:
            RunFolderError: another process owns it, or it is another sweep's.
        """
        self.check(sweep)
        self.path.mkdir(parents=True, exist_ok=True)
        with owning(self.path):
            sweep_partials(self.path)
            content = {"schema_version": SCHEMA_VERSION, "settings": _settings(sweep)}
            publish_text(self.record, json.dumps(content, indent=2) + "\n")
            yield

    def _stored(self) -> dict[str, dict[str, Any]]:
        try:
            content = json.loads(self.record.read_text(encoding="utf-8"))
            version, settings = content["schema_version"], content["settings"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise RunFolderError(
                "The record of the sweep is damaged.",
                where=self.record,
                got=error,
                fix="delete it: every trial knows by itself whether it belongs here",
            ) from None
        if version != SCHEMA_VERSION:
            raise RunFolderError(
                "The sweep was written by another version of this package.",
                where=self.record,
                got=f"schema version {version}",
                expected=f"schema version {SCHEMA_VERSION}",
                fix="use the version that wrote it, or give another folder with --folder",
            )
        return dict(settings)


def _settings(sweep: Sweep) -> dict[str, dict[str, Any]]:
    """Return setting -> what its results are functions of, as JSON would give it back."""
    found = {setting.name: identity(setting.config) for setting in sweep.settings}
    settings: dict[str, dict[str, Any]] = json.loads(json.dumps(found))
    return settings
