"""Networks without nodes drawn at random (thesis section 4.1, Algorithm 1), many draws of each.

Nothing is removed for good: every draw is one evaluation of the trained network. Layout of
`random_removal.h5`: /draws, a row each (nodes, number, loss, accuracy) with a CRC-32; attributes
`origin`, the digests of the run and the images measured on, and `halvings`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import astuple
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from kvasir_prune.config.sweep import RandomRemoval
from kvasir_prune.errors import LedgerError
from kvasir_prune.experiment.context import Run
from kvasir_prune.experiment.folder import RunFolder
from kvasir_prune.experiment.strategies import check_nodes
from kvasir_prune.ledger.committer import Committer
from kvasir_prune.ledger.hdf5_file import publishing_hdf5, reading_hdf5
from kvasir_prune.ledger.recovery import set_aside
from kvasir_prune.ledger.tables import Table, read_table, table
from kvasir_prune.pruning.random_removal import draw
from kvasir_prune.types import LossAccuracy

if TYPE_CHECKING:
    from kvasir_prune.models import Chain

SCHEMA_VERSION = 2
FILE = "random_removal.h5"
DRAWS = np.dtype([("nodes", "<i4"), ("number", "<i4"), ("loss", "<f8"), ("accuracy", "<f8")])
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
        """All draws that are there of those asked for, with the columns of `DRAWS`."""
        known = [place for place in places_of(asked) if place in self._rows]
        return np.array([(*place, *astuple(self._rows[place])) for place in known], DRAWS)

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
            file.create_dataset("draws", data=table(DRAWS, rows))

    def _read(self) -> bool:
        try:
            with reading_hdf5(self.path, SCHEMA_VERSION) as file:
                if file.attrs["origin"] != self._origin:
                    return False
                rows = [row.item() for row in read_table(file, "draws", DRAWS, self.path)]
                self.halvings = int(file.attrs["halvings"])
        except LedgerError:
            return False
        self._rows = {(nodes, number): LossAccuracy(*value) for nodes, number, *value in rows}
        return True


def store_of(folder: RunFolder, asked: RandomRemoval, origin: Mapping[str, str]) -> DrawStore:
    """Return what is there of a trial's draws."""
    digests = {key: origin[key] for key in ("split", "weights", "versions")}
    return DrawStore(folder.path / FILE, {"measured_on": asked.split, **digests})


class Draws:
    """Draws nodes of a network and measures what is left of it.

    Args:
        run: whose images.
        chain: the network.
        asked: how many nodes are drawn at most, and on which split is measured.

    Attributes:
        scorer: that measures.
        layers: whose nodes are drawn.

    Raises:
        ModelError: the network has not so many nodes to give.
    """

    def __init__(self, run: Run, chain: Chain, asked: RandomRemoval) -> None:
        from kvasir_prune.importance.scorers import scorer_of

        self.layers = [hidden.size for hidden in chain.hidden]
        check_nodes(max(asked.nodes), self.layers, where="random_removal.nodes")
        self.scorer = scorer_of(run.config.importance, chain, run.scoring_set(asked.split))
        self._seed = run.config.seed

    def measure(self, nodes: int, number: int) -> LossAccuracy:
        """Return loss and accuracy without the nodes of a draw."""
        drawn = draw(self._seed, self.layers, nodes, number)
        return self.scorer.evaluate_unordered(
            {layer.name: of_it for layer, of_it in zip(self.layers, drawn, strict=True)}
        )


def remove_at_random(run: Run, asked: RandomRemoval) -> None:
    """Measure every draw that is missing.

    Args:
        run: with its trained network.
        asked: how many draws, of how many nodes.

    Raises:
        ModelError: the network has not so many nodes to give.
        StorageError: the file system does not take the draws.
    """
    draws = Draws(run, run.chain, asked)
    store = store_of(run.folder, asked, run.origin)
    if store.is_foreign:
        kept = set_aside(store.path).name
        run.progress.note(f"{FILE} is damaged, or another network's, and kept as {kept}")
    missing = store.missing(asked)
    scorer, last = draws.scorer, draws.layers[-1].name
    scorer.halve(last, store.halvings)
    with (
        run.progress.task("Nodes removed at random", asked.draws) as task,
        Committer(store, run.config.pruning.commit_every_s) as committer,
    ):
        task.advance(asked.draws - len(missing))
        for nodes, number in missing:
            value = draws.measure(nodes, number)
            # First: a draw must not be committed without the halving that it came behind.
            store.halvings = scorer.halvings(last)
            store.record(nodes, number, value)
            committer.recorded()
            task.advance(nodes=nodes)


def places_of(asked: RandomRemoval) -> Iterator[Place]:
    """Yield every draw that is asked for, in order."""
    for nodes in asked.nodes:
        for number in range(asked.repetitions):
            yield nodes, number
