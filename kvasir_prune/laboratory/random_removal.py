"""Networks without nodes drawn at random (thesis section 4.1, Algorithm 1), many draws of each.

Nothing is removed for good: every draw is one evaluation of the trained network. Layout of
`random_removal.h5`: /draws, a row each (nodes, number, loss, accuracy) with a CRC-32; attributes
`origin`, the digests of the run and what was asked for, and `halvings`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from kvasir_prune.config.sweep import RandomRemoval
from kvasir_prune.errors import LedgerError
from kvasir_prune.experiment.context import Run
from kvasir_prune.experiment.folder import RunFolder
from kvasir_prune.experiment.strategies import check_nodes
from kvasir_prune.ledger.committer import Committer
from kvasir_prune.ledger.hdf5_file import publishing_hdf5, reading_hdf5
from kvasir_prune.ledger.tables import Table, read_table, table
from kvasir_prune.pruning.random_removal import draw
from kvasir_prune.types import LossAccuracy

SCHEMA_VERSION = 1
FILE = "random_removal.h5"
DRAWS = np.dtype([("nodes", "<i4"), ("number", "<i4"), ("loss", "<f8"), ("accuracy", "<f8")])


class DrawStore:
    """Losses and accuracies of draws with a file behind them; a file of others counts as none.

    Args:
        path: of the file; read if it exists.
        origin: digests of the run, and what is asked for.

    Attributes:
        halvings: how often the scorer's steps had been halved for want of memory by the last draw.
    """

    def __init__(self, path: Path, origin: Mapping[str, str]) -> None:
        self._path, self._origin = path, json.dumps(origin, sort_keys=True)
        self._rows: tuple[tuple[int, int, float, float], ...] = ()
        self.halvings = 0
        try:
            if path.exists():
                self._read()
        except LedgerError:
            self._rows, self.halvings = (), 0

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def table(self) -> Table:
        """All draws, with the columns of `DRAWS`."""
        return np.array(list(self._rows), DRAWS)

    def record(self, nodes: int, number: int, value: LossAccuracy) -> None:
        """Add a draw; it is durable after the next `commit`."""
        self._rows = (*self._rows, (nodes, number, value.loss, value.accuracy))

    def commit(self) -> None:
        """Publish all draws.

        Raises:
            StorageError: the file system does not take it.
        """
        rows = self._rows
        with publishing_hdf5(self._path, SCHEMA_VERSION, holds={"draws": len(rows)}) as file:
            file.attrs["origin"], file.attrs["halvings"] = self._origin, self.halvings
            file.create_dataset("draws", data=table(DRAWS, rows))

    def _read(self) -> None:
        with reading_hdf5(self._path, SCHEMA_VERSION) as file:
            if file.attrs["origin"] == self._origin:
                rows = read_table(file, "draws", DRAWS, self._path)
                self._rows = tuple(row.item() for row in rows)
                self.halvings = int(file.attrs.get("halvings", 0))


def store_of(folder: RunFolder, asked: RandomRemoval, origin: Mapping[str, str]) -> DrawStore:
    """Return what is there of a trial's draws; raises `StorageError`."""
    known = {"asked": asked.model_dump_json(), **{k: origin[k] for k in ("split", "weights")}}
    return DrawStore(folder.path / FILE, known)


def remove_at_random(run: Run, asked: RandomRemoval) -> None:
    """Measure every draw that is missing.

    Args:
        run: with its trained network.
        asked: how many draws, of how many nodes.

    Raises:
        ModelError: the network has not so many nodes to give.
    """
    layers = [hidden.size for hidden in run.chain.hidden]
    check_nodes(max(asked.nodes), layers, where="random_removal.nodes")
    store = store_of(run.folder, asked, run.origin)
    wanted = list(_draws(asked))
    scorer, last = run.scorer_on(asked.split), layers[-1].name
    scorer.halve(last, store.halvings)
    with (
        run.progress.task("Nodes removed at random", len(wanted)) as task,
        Committer(store, run.config.pruning.commit_every_s) as committer,
    ):
        task.advance(len(store))
        for nodes, number in wanted[len(store) :]:
            drawn = draw(run.config.seed, layers, nodes, number)
            removed = {layer.name: of_it for layer, of_it in zip(layers, drawn, strict=True)}
            store.record(nodes, number, scorer.evaluate_unordered(removed))
            store.halvings = scorer.halvings(last)
            committer.recorded()
            task.advance(nodes=nodes)


def _draws(asked: RandomRemoval) -> Iterator[tuple[int, int]]:
    for nodes in asked.nodes:
        for number in range(asked.repetitions):
            yield nodes, number
