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
from kvasir_prune.ledger.hdf5_file import START_AGAIN

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


def read_table(file: h5py.File, name: str, columns: np.dtype[np.void], path: Path) -> Table:
    """Read a table written by `table` and verify every row.

    Args:
        file: open for reading.
        name: of the table.
        columns: that it must have.
        path: of the file, for errors.

    Raises:
        LedgerError: the table is missing, has other columns, or a row does not match its CRC.
    """
    where = path / name
    if name not in file:
        raise LedgerError("A table of the ledger is missing.", where=where)
    stored = np.atleast_1d(file[name][()])
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
            fix=START_AGAIN,
        )
    return plain


def _fields(columns: np.dtype[np.void]) -> list[tuple[str, np.dtype[Any]]]:
    return [(name, columns[name]) for name in columns.names or ()]


def _checksums(plain: Table) -> NDArray[np.uint32]:
    return np.array([zlib.crc32(row.tobytes()) for row in plain], dtype=np.uint32)
