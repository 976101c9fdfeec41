"""Publishing a file: a reader sees the old one or the new one, never half of it.

A temporary file in the same folder, flushed and synced, takes the target's name by `os.replace`;
then the folder itself is synced, so that the name survives a power cut as well.
"""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import MappingProxyType

from kvasir_prune.errors import StorageError

log = logging.getLogger(__name__)
"""Told of every durable publish."""
MENDED_BY = {
    errno.ENOSPC: "free some room on the disk, then give the same command again",
    errno.EDQUOT: "free some of your quota, then give the same command again",
    errno.EROFS: "mount the file system for writing, then give the same command again",
}
"""What helps against some of the errors of a file system; they come at any time of a long job."""


@contextmanager
def publishing(
    target: Path,
    *,
    keep_previous: bool = False,
    durable: bool = True,
    holds: Mapping[str, object] = MappingProxyType({}),
) -> Iterator[Path]:
    """Give a temporary path to write to; publish it as `target` when the block ends well.

    Args:
        target: final path; its folder must exist. An existing file is replaced.
        keep_previous: keep the replaced file as `previous(target)`; not on file systems without
            hard links.
        durable: whether it must outlive a power cut; only then it is logged.
        holds: what is in it, for the log.

    Yields:
        A path beside `target` with the same suffix (Keras judges formats by suffix).

    Raises:
        StorageError: it could not be written, synced or put in place; `target` is untouched.
    """
    temporary, began = _beside(target), time.perf_counter()
    try:
        with storage_errors_named(target):
            yield temporary
            made = time.perf_counter()
            if durable:
                _sync(temporary)
            if keep_previous:
                _keep_previous(target)
            temporary.replace(target)
            if durable:
                _sync(target.parent)
                _log(target, made - began, time.perf_counter() - made, holds)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def publish_text(
    target: Path, text: str, *, keep_previous: bool = False, durable: bool = True
) -> None:
    """Publish `text` as UTF-8."""
    with publishing(target, keep_previous=keep_previous, durable=durable) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def put_in_place(made: Path, target: Path) -> None:
    """Give a finished file or folder on the same file system its name.

    Args:
        made: whose content is durable already.
        target: replaced if it is a file or an empty folder.

    Raises:
        StorageError: the file system does not take it; then `made` is where it was.
    """
    with storage_errors_named(target):
        if target.is_dir():
            target.rmdir()
        made.replace(target)
        _sync(target.parent)


def previous(target: Path) -> Path:
    """Return where the commit before the last is kept."""
    return target.with_name(f"{target.stem}.previous{target.suffix}")


@contextmanager
def storage_errors_named(path: Path) -> Iterator[None]:
    """Raise `StorageError` where the file system fails.

    Args:
        path: what is being written.
    """
    try:
        yield
    except OSError as error:
        raise storage_error(error, path) from error


def storage_error(error: OSError, path: object) -> StorageError:
    """Return an error of the file system as a sentence that says what helps.

    Args:
        error: of the system.
        path: what was being written or read.
    """
    helps = MENDED_BY.get(error.errno or 0, "mend that, then give the same command again")
    return StorageError(
        "The file system refused to write or read a file.",
        where=path,
        got=error.strerror or error,
        fix=f"{helps}; what was committed is safe",
    )


def sweep_partials(folder: Path) -> None:
    """Delete what writers killed in the middle left in `folder`; the caller owns the folder."""
    for leftover in folder.glob(".*.partial*"):
        with suppress(OSError):
            leftover.unlink()


def sha256_file(path: Path) -> str:
    """Return the SHA-256 of a file, as 64 hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sha256_json(content: object) -> str:
    """Return the SHA-256 of what JSON can hold, 64 hexadecimal digits; keys in any order."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _log(target: Path, write_s: float, sync_s: float, holds: Mapping[str, object]) -> None:
    took = {"write_ms": f"{1000 * write_s:.1f}", "sync_ms": f"{1000 * sync_s:.1f}"}
    words = [f"{name}={value}" for name, value in {**took, **holds}.items()]
    log.info("%s %s", target.name, " ".join(words))


def _beside(target: Path) -> Path:
    return target.with_name(f".{target.stem}.{os.getpid()}.partial{target.suffix}")


def _keep_previous(target: Path) -> None:
    """Give the file that is about to be replaced a second name, in place of the one before it."""
    link = _beside(previous(target))
    try:
        os.link(target, link)
        link.replace(previous(target))
    except FileNotFoundError:
        return
    except OSError as error:
        if error.errno in MENDED_BY:
            raise
    finally:
        with suppress(OSError):
            link.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
