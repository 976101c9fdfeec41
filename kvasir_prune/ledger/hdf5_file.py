"""HDF5 files that are published whole and know whether they still are.

The first 512 bytes of such a file are its user block, which HDF5 leaves to the writer: one line
with the SHA-256 of everything behind it. Any HDF5 reader opens the file; ours first compares the
digest, so that not one damaged byte is interpreted.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from io import BufferedRandom, BufferedReader
from pathlib import Path
from types import MappingProxyType

import h5py

from kvasir_prune.errors import LedgerError
from kvasir_prune.publish import previous, publishing

USER_BLOCK = 512
SEAL = "kvasir_prune sha256 "
HDF5_SIGNATURE = b"\x89HDF"
GO_BACK = "give the command of the run again: it goes on from the commit before, if that is whole"
START_AGAIN = "restore the file from a copy, or start again in a new run folder"


@contextmanager
def publishing_hdf5(
    path: Path,
    schema_version: int,
    *,
    keep_previous: bool = False,
    holds: Mapping[str, object] = MappingProxyType({}),
) -> Iterator[h5py.File]:
    """Give an empty HDF5 file to fill; seal and publish it when the block ends well.

    Args:
        path: final path.
        schema_version: becomes an attribute of the file.
        keep_previous: as in `publishing`.
        holds: likewise.

    Raises:
        StorageError: as `publishing`.
    """
    with publishing(path, keep_previous=keep_previous, holds=holds) as temporary:
        # HDF5's own lock would guard a name that nobody else has, and fail where there are none.
        with (
            _errors_of_hdf5(),
            h5py.File(temporary, "w", userblock_size=USER_BLOCK, locking=False) as file,
        ):
            file.attrs["schema_version"] = schema_version
            yield file
        seal(temporary)


def seal(path: Path) -> None:
    """Write the digest of what lies behind the user block into it."""
    with path.open("r+b") as stream:
        content = _seal_of(stream)
        stream.seek(0)
        stream.write(content)


@contextmanager
def reading_hdf5(
    path: Path, schema_version: int, *, mended_by: str | None = None
) -> Iterator[h5py.File]:
    """Open a file written by `publishing_hdf5`, which its writer may replace meanwhile.

    Args:
        path: of the file.
        schema_version: that it must have.
        mended_by: what helps if it is damaged, where that is not the usual.

    Raises:
        LedgerError: it is damaged, or another version of this package wrote it.
    """
    with _checked(path, mended_by) as stream, h5py.File(stream, "r") as file:
        found = file.attrs["schema_version"]
        if found != schema_version:
            raise _of_another_version(path, f"schema version {found}", schema_version)
        yield file


def check_seal(path: Path, *, mended_by: str | None = None) -> None:
    """Raise `LedgerError` unless the file is, byte for byte, what was published."""
    with _checked(path, mended_by):
        pass


@contextmanager
def _checked(path: Path, mended_by: str | None) -> Iterator[BufferedReader]:
    """Open a file and compare its digest; what is read from the stream is what was compared.

    By its path the same might be another file a moment later.
    """
    with ExitStack() as stack:
        try:
            stream = stack.enter_context(path.open("rb"))
            block = stream.read(USER_BLOCK)
            whole = block == _seal_of(stream)
        except OSError as error:
            raise _damaged(path, error.strerror or str(error), mended_by) from None
        if block.startswith(HDF5_SIGNATURE):
            raise _of_another_version(path, "an HDF5 file without a digest", None)
        if not whole:
            reason = "other bytes than were written: they do not match their digest"
            raise _damaged(path, reason, mended_by)
        yield stream


@contextmanager
def _errors_of_hdf5() -> Iterator[None]:
    """HDF5 tells some errors of the file system in the text of a RuntimeError only."""
    try:
        yield
    except RuntimeError as error:
        number = re.search(r"errno = (\d+)", str(error))
        if number is None:
            raise
        raise OSError(int(number[1]), os.strerror(int(number[1]))) from error


def _seal_of(stream: BufferedReader | BufferedRandom) -> bytes:
    """Return the user block that belongs to what lies behind it."""
    stream.seek(USER_BLOCK)
    line = f"{SEAL}{hashlib.file_digest(stream, 'sha256').hexdigest()}\n"
    return line.encode().ljust(USER_BLOCK, b"\0")


def _damaged(path: Path, reason: str, mended_by: str | None) -> LedgerError:
    return LedgerError(
        "A file of the run is damaged.",
        where=path,
        got=reason,
        fix=mended_by or (GO_BACK if previous(path).exists() else START_AGAIN),
    )


def _of_another_version(path: Path, got: str, expected: int | None) -> LedgerError:
    return LedgerError(
        "A file of the run was written by another version of this package.",
        where=path,
        got=got,
        expected=None if expected is None else f"schema version {expected}",
        fix="use the version that wrote it, or start again in a new run folder",
    )
