"""What was measured of networks without nodes drawn at random, with a file behind it.

Layout of `random_removal.h5`: /draws, a row each (nodes, number, loss, accuracy) with a CRC-32;
attributes `origin`, the digests of the run and the images measured on, and `halvings`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import astuple
from pathlib import Path

import numpy as np

from kvasir_prune.config.sweep import RandomRemoval
from kvasir_prune.errors import LedgerError
from kvasir_prune.experiment.folder import RunFolder
from kvasir_prune.ledger.hdf5_file import publishing_hdf5, reading_hdf5
from kvasir_prune.ledger.tables import Table, read_table, table
from kvasir_prune.types import LossAccuracy

SCHEMA_VERSION = 2
FILE = "random_removal.h5"
DRAW_COLUMNS = np.dtype([("nodes", "<i4"), ("number", "<i4"), ("loss", "<f8"), ("accuracy", "<f8")])
Place = tuple[int, int]
"""How many nodes a draw takes, and its number among the draws of so many."""


class DrawStore:
    """Losses and accuracies of draws with a file behind them; a file of others counts as none.

    A draw is a function of the run, how many nodes it takes, and its number: what was asked for
    later goes on from what was asked for before.

    Args:
        path: of the file; read if it exists.
        origin: digests of the run, and the images measured on.

    Attributes:
        halvings: how often the scorer's steps had been halved for want of memory by the last draw.
        is_foreign: whether the file is damaged, or of another network or other versions.
    """

    def __init__(self, path: Path, origin: Mapping[str, str]) -> None:
        self.path, self._origin = path, json.dumps(origin, sort_keys=True)
        self._rows: dict[Place, LossAccuracy] = {}
        self.halvings = 0
        self.is_foreign = path.exists() and not self._read()

    def missing(self, asked: RandomRemoval) -> tuple[Place, ...]:
        """Return which draws are not there, in order."""
        return tuple(place for place in places_of(asked) if place not in self._rows)

    def table(self, asked: RandomRemoval) -> Table:
        """All draws that are there of those asked for, with the columns of `DRAW_COLUMNS`."""
        known = [place for place in places_of(asked) if place in self._rows]
        return np.array([(*place, *astuple(self._rows[place])) for place in known], DRAW_COLUMNS)

    def record(self, nodes: int, number: int, value: LossAccuracy) -> None:
        """Add a draw; it is durable after the next `commit`."""
        self._rows[nodes, number] = value

    def commit(self) -> None:
        """Publish all draws.

        Raises:
            StorageError: the file system does not take it.
        """
        rows = [(*place, *astuple(value)) for place, value in tuple(self._rows.items())]
        with publishing_hdf5(self.path, SCHEMA_VERSION, holds={"draws": len(rows)}) as file:
            file.attrs["origin"], file.attrs["halvings"] = self._origin, self.halvings
            file.create_dataset("draws", data=table(DRAW_COLUMNS, rows))

    def _read(self) -> bool:
        try:
            with reading_hdf5(self.path, SCHEMA_VERSION) as file:
                if file.attrs["origin"] != self._origin:
                    return False
                rows = [row.item() for row in read_table(file, "draws", DRAW_COLUMNS, self.path)]
                self.halvings = int(file.attrs["halvings"])
        except LedgerError:
            return False
        self._rows = {(nodes, number): LossAccuracy(*value) for nodes, number, *value in rows}
        return True


def store_of(folder: RunFolder, asked: RandomRemoval, origin: Mapping[str, str]) -> DrawStore:
    """Return what is there of a trial's draws."""
    digests = {key: origin[key] for key in ("split", "weights", "versions")}
    return DrawStore(folder.path / FILE, {"measured_on": asked.split, **digests})


def places_of(asked: RandomRemoval) -> Iterator[Place]:
    """Yield every draw that is asked for, in order."""
    for nodes in asked.nodes:
        for number in range(asked.repetitions):
            yield nodes, number
