"""HDF5 tables whose rows know whether they are whole: every row ends with its own CRC-32."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from kvasir_prune.errors import LedgerError

Table = NDArray[np.void]


def table(columns: np.dtype[np.void], rows: Iterable[Sequence[Any]]) -> Table:
    """Return a compound array of `rows` with a last column `crc32` over the row's other bytes."""
    plain = np.array([tuple(row) for row in rows], dtype=columns)
    described = np.dtype([*_fields(columns), ("crc32", "<u4")])
    checked = np.zeros(len(plain), dtype=described)
    for name in columns.names or ():
        checked[name] = plain[name]
    checked["crc32"] = _checksums(plain)
    return checked


def read_table(group: h5py.Group, name: str, columns: np.dtype[np.void]) -> Table:
    """Read a table written by `table` and verify every row.

    Raises:
        LedgerError: the table is missing, has other columns, or a row does not match its CRC.
    """
    where = f"{group.file.filename}{'' if group.name == '/' else group.name}/{name}"
    if name not in group:
        raise LedgerError("A table of the ledger is missing.", where=where)
    stored = np.atleast_1d(group[name][()])
    present = stored.dtype.names or ()
    if not {*(columns.names or ()), "crc32"}.issubset(present):
        raise LedgerError(
            "A table of the ledger has other columns than this version writes.",
            where=where,
            got=", ".join(present),
            expected=", ".join(columns.names or ()),
        )
    plain = np.zeros(len(stored), dtype=columns)
    for column in columns.names or ():
        plain[column] = stored[column]
    damaged = np.flatnonzero(_checksums(plain) != stored["crc32"])
    if damaged.size:
        raise LedgerError(
            "Rows of the ledger are damaged: they do not match their checksums.",
            where=where,
            got=f"{damaged.size} of {len(plain)} rows, the first is row {damaged[0]}",
            fix="restore the file from a copy, or start again in a new run folder",
        )
    return plain


def open_for_reading(path: Path) -> h5py.File:
    """Open an HDF5 file, or say in a sentence that it is none.

    Raises:
        LedgerError: the file cannot be opened as HDF5 (cut short, overwritten, unreadable).
    """
    try:
        return h5py.File(path, "r")
    except OSError as error:
        raise LedgerError(
            "A file of the run cannot be opened.",
            where=path,
            got=str(error),
            expected="a whole HDF5 file",
            fix="restore the file from a copy, or start again in a new run folder",
        ) from None


def check_schema(file: h5py.File, version: int) -> None:
    """Refuse a file that another version of this package wrote.

    Raises:
        LedgerError: its attribute `schema_version` is not `version`.
    """
    found = file.attrs.get("schema_version")
    if found != version:
        raise LedgerError(
            "A file of the run was written by another version of this package.",
            where=file.filename,
            got=f"schema version {found}",
            expected=f"schema version {version}",
            fix="use the version that wrote it, or start again in a new run folder",
        )


def _fields(columns: np.dtype[np.void]) -> list[tuple[str, np.dtype[Any]]]:
    return [(name, columns[name]) for name in columns.names or ()]


def _checksums(plain: Table) -> NDArray[np.uint32]:
    return np.array([zlib.crc32(row.tobytes()) for row in plain], dtype=np.uint32)
