"""Publishing a file: a reader sees the old one or the new one, never half of it.

A temporary file in the same folder, flushed and synced, takes the target's name by `os.replace`;
then the folder itself is synced, so that the name survives a power cut as well.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def publishing(target: Path) -> Iterator[Path]:
    """Give a temporary path to write to; publish it as `target` when the block ends well.

    Args:
        target: final path; its folder must exist. An existing file is replaced.

    Yields:
        A path beside `target` with the same suffix (Keras judges formats by suffix).

    Raises:
        OSError: whatever the write, the sync or the replacement raised; `target` is untouched.
    """
    temporary = target.with_name(f".{target.stem}.{os.getpid()}.partial{target.suffix}")
    try:
        yield temporary
        _sync(temporary)
        temporary.replace(target)
        _sync(target.parent)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def publish_text(target: Path, text: str) -> None:
    """Publish `text` as UTF-8."""
    with publishing(target) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def sweep_partials(folder: Path) -> None:
    """Delete what writers killed in the middle left in `folder`; the caller owns the folder."""
    for leftover in folder.glob(".*.partial*"):
        with suppress(OSError):
            leftover.unlink()


def sha256_file(path: Path) -> str:
    """Return the SHA-256 of a file as 64 hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
