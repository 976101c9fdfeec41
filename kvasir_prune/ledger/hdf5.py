"""The durable ledger: one HDF5 file, published whole by atomic replacement at every commit.

Layout (all losses, accuracies and importances float64; every row carries a CRC-32)::

    /layers     name, nodes, finished_at (events before the layer's end, -1: open), evaluations
    /baseline   loss, accuracy
    /removed    seq, layer, node, importance, loss, accuracy, evaluations
    /ignored    seq, layer, node, importance, evaluations, is_bound
    /halved     seq, layer, evaluations: memory did not suffice, see `Halved`
    /scores     node, loss, accuracy, is_bound: what has been scored since the last other event
    /evolution  removed, layer, split, loss, accuracy: measured afterwards, see `evolution`

`layer` is an index into /layers; one `seq` counts removals, ignored nodes and halvings
together. The file before the last commit stays beside it, as `pruning.previous.h5`.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from dataclasses import astuple
from pathlib import Path

import numpy as np

from kvasir_prune.errors import LedgerError
from kvasir_prune.ledger.hdf5_file import START_AGAIN, publishing_hdf5, reading_hdf5
from kvasir_prune.ledger.memory import MemoryLedger
from kvasir_prune.ledger.rows import (
    COLUMNS,
    EVOLUTION,
    LAYERS,
    LOSS,
    SCORES,
    EventTables,
    entries_of,
    layers_of,
    score_rows,
)
from kvasir_prune.ledger.state import State
from kvasir_prune.ledger.tables import Table, read_table, table
from kvasir_prune.types import Entry, LayerSize, LossAccuracy

SCHEMA_VERSION = 3


class HDF5Ledger:
    """A `MemoryLedger` with a file behind it; the file is complete after every commit.

    Args:
        path: the ledger's file; read if it exists.
        layers, baseline: what a new ledger starts from; an existing one brings its own.
        identity: digests and versions, stored as attributes of a new ledger.

    Raises:
        LedgerError: the file is damaged, or of another schema version.
    """

    def __init__(
        self,
        path: Path,
        *,
        layers: tuple[LayerSize, ...] = (),
        baseline: LossAccuracy | None = None,
        identity: Mapping[str, str] | None = None,
    ) -> None:
        self.path = path
        self.evolution: Table = np.zeros(0, EVOLUTION)
        self._committing = threading.Lock()
        if path.exists():
            self._read()
        elif baseline is None:
            raise LedgerError("There is no ledger yet.", where=path, expected="a pruning run")
        else:
            self.identity = dict(identity or {})
            self._memory = MemoryLedger(layers, baseline)
        self._events = EventTables(self.layers)

    @property
    def layers(self) -> tuple[LayerSize, ...]:
        """The layers to prune, in order of work."""
        return self._memory.layers

    @property
    def baseline(self) -> LossAccuracy:
        """Loss and accuracy before the first removal, on the scoring set."""
        return self._memory.baseline

    @property
    def entries(self) -> tuple[Entry, ...]:
        """All events, then the scores since the last one."""
        return self._memory.entries

    @property
    def state(self) -> State:
        """The fold over `entries`."""
        return self._memory.state

    def record(self, entries: Iterable[Entry]) -> None:
        """Append entries, all or none; they are durable after the next `commit`."""
        self._memory.record(entries)

    def record_evolution(self, rows: Iterable[tuple[int, int, str, float, float]]) -> None:
        """Append rows (removed, layer, split, loss, accuracy) and commit."""
        fresh = np.array([(n, m, s.encode(), c, a) for n, m, s, c, a in rows], EVOLUTION)
        self.evolution = np.concatenate([self.evolution, fresh])
        self.commit()

    def commit(self) -> None:
        """Publish the whole ledger; a reader sees this commit or the one before.

        Raises:
            StorageError: the file system does not take it; the commit before stands.
        """
        with self._committing:
            holds = self._holds()
            events, scores = self._memory.recorded()
            tables = {
                **self._events.of(events),
                "scores": score_rows(scores),
                "evolution": table(EVOLUTION, self.evolution),
                "baseline": table(LOSS, [astuple(self.baseline)])[0],
            }
            with publishing_hdf5(
                self.path, SCHEMA_VERSION, keep_previous=True, holds=holds
            ) as file:
                for key, value in self.identity.items():
                    file.attrs[key] = value
                for name, rows in tables.items():
                    file.create_dataset(name, data=rows)

    def _holds(self) -> dict[str, object]:
        """Return what a commit holds at the least, for the log."""
        state = self.state
        return {
            "layer": "-" if state.finished else state.layers[state.layer].name,
            "evaluations": state.evaluations,
            "removed": state.removals,
            "loss": f"{state.current.loss:.6f}",
            "accuracy": f"{state.current.accuracy:.4f}",
            "evolution": len(self.evolution),
        }

    def _read(self) -> None:
        columns = {"layers": LAYERS, **COLUMNS, "scores": SCORES}
        with reading_hdf5(self.path, SCHEMA_VERSION) as file:
            self.identity = {
                key: str(value) for key, value in file.attrs.items() if key != "schema_version"
            }
            stored = {n: read_table(file, n, kind, self.path) for n, kind in columns.items()}
            self.evolution = read_table(file, "evolution", EVOLUTION, self.path)
            (baseline,) = read_table(file, "baseline", LOSS, self.path)
        entries = entries_of(stored)
        if entries is None:
            raise LedgerError(
                "Events are missing from the ledger: its sequence has gaps.",
                where=self.path,
                fix=START_AGAIN,
            )
        before = LossAccuracy(*baseline.item())
        self._memory = MemoryLedger(layers_of(stored["layers"]), before, entries)
