"""`run.json`: what a run is a function of, and the digests of its finished files.

The file carries a digest of itself, so that a flipped bit in it is not taken for a setting.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kvasir_prune.errors import LedgerError, RunFolderError
from kvasir_prune.ledger.hdf5_file import GO_BACK, START_AGAIN
from kvasir_prune.publish import previous, publish_text, sha256_file, sha256_json

SCHEMA_VERSION = 4
WITHOUT_STARTS = 3
"""The version before, which knew of the first start only; it is read as if there were no other."""
CONTENT = {
    "command": str,
    "created": str,
    "threads": int,
    "identity": dict,
    "versions": dict,
    "digests": dict,
    "files": dict,
    "environment": dict,
    "devices": list,
    "starts": list,
}
"""What it holds beside its schema version and its own digest."""


def read(path: Path) -> dict[str, Any] | None:
    """Return the content of a `run.json`; None where there is none.

    Raises:
        RunFolderError: it is damaged or unreadable, or of another schema version.
    """
    if not path.exists():
        return None
    content = _parsed(path)
    version = content.pop("schema_version")
    if version != SCHEMA_VERSION:
        raise RunFolderError(
            "The run folder was written by another version of this package.",
            where=path,
            got=f"schema version {version}",
            expected=f"schema version {SCHEMA_VERSION}",
            fix="use the version that wrote it, or give a new folder with --run-dir",
        )
    return content


def check(path: Path) -> None:
    """Raise `RunFolderError` if a `run.json` is damaged; one of another version is not."""
    _parsed(path)


def write(path: Path, record: Mapping[str, Any]) -> None:
    """Publish a `run.json`; the one before it stays beside it."""
    content = {"schema_version": SCHEMA_VERSION, **record}
    sealed_content = {**content, "sha256": sha256_json(content)}
    publish_text(path, json.dumps(sealed_content, indent=2) + "\n", keep_previous=True)


def sealed(record: Mapping[str, Any], *paths: Path) -> dict[str, Any]:
    """Return the record with the digests of files that are finished."""
    return {**record, "files": {**record["files"], **{p.name: sha256_file(p) for p in paths}}}


def without(record: Mapping[str, Any], *paths: Path) -> dict[str, Any]:
    """Return the record without the digests of files."""
    names = {path.name for path in paths}
    return {**record, "files": {n: d for n, d in record["files"].items() if n not in names}}


def is_finished(record: Mapping[str, Any], path: Path) -> bool:
    """Return whether a file is there and its digest recorded; it is not read."""
    return path.name in record["files"] and path.exists()


def check_file(record: Mapping[str, Any], path: Path, *, mended_by: str = START_AGAIN) -> None:
    """Refuse a finished file that is no longer what was recorded.

    Args:
        record: of the run.
        path: of the file.
        mended_by: what helps.

    Raises:
        LedgerError: its digest is another.
    """
    digest = sha256_file(path)
    if record["files"].get(path.name) != digest:
        raise LedgerError(
            "A file of the run is damaged, or was changed.",
            where=path,
            got=f"SHA-256 {digest}",
            expected=record["files"].get(path.name, "a file that the run has finished"),
            fix=mended_by,
        )


def _parsed(path: Path) -> dict[str, Any]:
    """Return everything in the file but its digest, which every version has over all the rest."""
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        seal, version = content.pop("sha256"), content["schema_version"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise _damaged(path, error) from None
    if seal != sha256_json(content):
        raise _damaged(path, "other content than was written: it does not match its digest")
    if version == WITHOUT_STARTS:
        version = SCHEMA_VERSION
        content |= {"schema_version": version, "starts": [content.get("created")]}
    for key, kind in CONTENT.items():
        if version == SCHEMA_VERSION and not isinstance(content.get(key), kind):
            raise _damaged(path, f"{key}: {content.get(key)!r}")
    return content


def _damaged(path: Path, reason: object) -> RunFolderError:
    return RunFolderError(
        "The record of the run is damaged.",
        where=path,
        got=reason,
        expected="JSON as this package writes it",
        fix=GO_BACK if previous(path).exists() else START_AGAIN,
    )
