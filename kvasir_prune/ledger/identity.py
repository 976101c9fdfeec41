"""What a run is a function of, and the refusal to go on when any of it has changed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kvasir_prune.errors import RunFolderError
from kvasir_prune.publish import sha256_json


def origin(record: Mapping[str, Any]) -> dict[str, str]:
    """Return what every file of a run carries: all digests of its `run.json`, and its versions'."""
    return {**record["digests"], "versions": sha256_json(record["versions"])}


def check(
    stored: Mapping[str, Any],
    now: Mapping[str, Any],
    *,
    where: Path,
    kind: str,
    holder: str = "run folder",
    option: str = "--run-dir",
) -> None:
    """Refuse to go on if anything differs, naming each key with both values.

    Args:
        stored: what the run was started with.
        now: what is asked for, or found.
        where: named in the error.
        kind: what is compared ("configuration", "set of package versions", ...).
        holder: what holds the stored values, for the sentence.
        option: of the command line, by which another folder is given.

    Raises:
        RunFolderError: with one line for each differing key; nothing has been touched.
    """
    keys = [key for key in {**stored, **now} if stored.get(key) != now.get(key)]
    if keys:
        listing = "\n".join(
            f"  - {key}: it has {stored.get(key)!r}, now it is {now.get(key)!r}" for key in keys
        )
        raise RunFolderError(
            f"The {holder} belongs to another {kind}:\n{listing}",
            where=where,
            fix=f"give a new folder with {option}, or go back to its own values",
        )
