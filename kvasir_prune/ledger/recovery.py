"""Damaged files of a run: the commit before takes their place, and they are kept as evidence."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from kvasir_prune.errors import KvasirPruneError
from kvasir_prune.publish import previous, publishing, storage_errors_named

Check = Callable[[Path], object]
"""Raises a `KvasirPruneError` unless the file is what was published."""


def is_damaged(path: Path, check: Check) -> bool:
    """Return whether there is a file that is not what was published."""
    try:
        if path.exists():
            check(path)
    except KvasirPruneError:
        return True
    return False


def needs_the_commit_before(path: Path, check: Check) -> bool:
    """Return whether a file is damaged, or gone although it was committed twice.

    Raises:
        KvasirPruneError: it is so, and the commit before is damaged too, or there is none.
    """
    if not path.exists():
        if previous(path).exists():
            check(previous(path))
            return True
        return False
    if not is_damaged(path, check):
        return False
    if not previous(path).exists() or is_damaged(previous(path), check):
        check(path)
    return True


def go_back(path: Path) -> str:
    """Put the commit before the last in the place of a file; a damaged one is kept.

    Returns:
        A sentence that says so.

    Raises:
        StorageError: the files cannot be written.
    """
    what = "is gone"
    if path.exists():
        with storage_errors_named(path):
            kept = _unused_name(path)
            os.link(path, kept)
        what = f"is damaged and kept as {kept.name}"
    with publishing(path) as temporary:
        temporary.write_bytes(previous(path).read_bytes())
    return f"{path.name} {what}: the run goes on from the commit before"


def set_aside(path: Path) -> Path:
    """Give a damaged file another name, so that it is made again; return that name.

    Raises:
        StorageError: it cannot be renamed.
    """
    with storage_errors_named(path):
        return path.rename(_unused_name(path))


def _unused_name(path: Path) -> Path:
    number = 1
    while (kept := path.with_name(f"{path.stem}.damaged-{number}{path.suffix}")).exists():
        number += 1
    return kept
