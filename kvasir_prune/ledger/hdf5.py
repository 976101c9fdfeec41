"""The durable ledger: one HDF5 file, published whole by atomic replacement at every commit.

Layout (all losses, accuracies and importances float64; every row carries a CRC-32)::

    /layers     name, nodes, finished_at (events before the layer's end, -1: open), evaluations
    /baseline   loss, accuracy
    /removed    seq, layer, node, importance, loss, accuracy, evaluations
    /ignored    seq, layer, node, importance, is_bound, evaluations
    /halved     seq, layer, evaluations: memory did not suffice, see `Halved`
    /scores     node, loss, accuracy, is_bound: what has been scored since the last other event
    /evolution  removed, layer, split, loss, accuracy: measured afterwards, see `evolution`

`layer` is an index into /layers; one `seq` counts removals, ignored nodes and halvings
together.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import astuple
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from kvasir_prune.errors import LedgerError
from kvasir_prune.ledger.memory import MemoryLedger
from kvasir_prune.ledger.state import State
from kvasir_prune.ledger.tables import Table, check_schema, open_for_reading, read_table, table
from kvasir_prune.publish import publishing
from kvasir_prune.types import (
    Entry,
    Halved,
    Ignored,
    LayerFinished,
    LayerSize,
    LossAccuracy,
    Removed,
    Scored,
)

SCHEMA_VERSION = 2

LAYERS = np.dtype(
    [("name", "S128"), ("nodes", "<i8"), ("finished_at", "<i8"), ("evaluations", "<i8")]
)
LOSS = np.dtype([("loss", "<f8"), ("accuracy", "<f8")])
REMOVED = np.dtype(
    [
        ("seq", "<i8"),
        ("layer", "<i4"),
        ("node", "<i4"),
        ("importance", "<f8"),
        ("loss", "<f8"),
        ("accuracy", "<f8"),
        ("evaluations", "<i8"),
    ]
)
IGNORED = np.dtype(
    [
        ("seq", "<i8"),
        ("layer", "<i4"),
        ("node", "<i4"),
        ("importance", "<f8"),
        ("is_bound", "?"),
        ("evaluations", "<i8"),
    ]
)
HALVED = np.dtype([("seq", "<i8"), ("layer", "<i4"), ("evaluations", "<i8")])
SCORES = np.dtype([("node", "<i4"), ("loss", "<f8"), ("accuracy", "<f8"), ("is_bound", "?")])
EVOLUTION = np.dtype(
    [
        ("removed", "<i8"),
        ("layer", "<i4"),
        ("split", "S16"),
        ("loss", "<f8"),
        ("accuracy", "<f8"),
    ]
)


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
        if path.exists():
            self._read()
            return
        if baseline is None:
            raise LedgerError("There is no ledger yet.", where=path, expected="a pruning run")
        self.identity = dict(identity or {})
        self._memory = MemoryLedger(layers, baseline)

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
        """Append entries; they are durable after the next `commit`."""
        self._memory.record(entries)

    def record_evolution(self, rows: Iterable[tuple[int, int, str, float, float]]) -> None:
        """Append rows (removed, layer, split, loss, accuracy) and commit."""
        fresh = np.array([(n, m, s.encode(), c, a) for n, m, s, c, a in rows], EVOLUTION)
        self.evolution = np.concatenate([self.evolution, fresh])
        self.commit()

    def commit(self) -> None:
        """Publish the whole ledger; a reader sees this commit or the one before."""
        with publishing(self.path) as temporary, h5py.File(temporary, "w") as file:
            file.attrs["schema_version"] = SCHEMA_VERSION
            for key, value in self.identity.items():
                file.attrs[key] = value
            for name, rows in self._tables().items():
                file.create_dataset(name, data=rows)
            file.create_dataset("baseline", data=table(LOSS, [astuple(self.baseline)])[0])

    def _tables(self) -> dict[str, Table]:
        names = ("removed", "ignored", "halved", "scores")
        rows: dict[str, list[tuple[Any, ...]]] = {name: [] for name in names}
        ends = [(-1, 0)] * len(self.layers)
        seq = 0
        for entry in self.entries:
            match entry:
                case Removed(layer, node, importance, loss, accuracy, evaluations):
                    rows["removed"].append(
                        (seq, layer, node, importance, loss, accuracy, evaluations)
                    )
                    seq += 1
                case Ignored(layer, node, importance, evaluations, is_bound):
                    rows["ignored"].append((seq, layer, node, importance, is_bound, evaluations))
                    seq += 1
                case Halved(layer, evaluations):
                    rows["halved"].append((seq, layer, evaluations))
                    seq += 1
                case LayerFinished(layer, evaluations):
                    ends[layer] = (seq, evaluations)
                case Scored(node, loss, accuracy, is_bound):
                    rows["scores"].append((node, loss, accuracy, is_bound))
        layers = [
            (layer.name.encode(), layer.nodes, *end)
            for layer, end in zip(self.layers, ends, strict=True)
        ]
        return {
            "layers": table(LAYERS, layers),
            "removed": table(REMOVED, rows["removed"]),
            "ignored": table(IGNORED, rows["ignored"]),
            "halved": table(HALVED, rows["halved"]),
            "scores": table(SCORES, rows["scores"]),
            "evolution": table(EVOLUTION, self.evolution),
        }

    def _read(self) -> None:
        with open_for_reading(self.path) as file:
            check_schema(file, SCHEMA_VERSION)
            self.identity = {
                key: str(value) for key, value in file.attrs.items() if key != "schema_version"
            }
            stored = {
                "layers": read_table(file, "layers", LAYERS),
                "removed": read_table(file, "removed", REMOVED),
                "ignored": read_table(file, "ignored", IGNORED),
                "halved": read_table(file, "halved", HALVED),
                "scores": read_table(file, "scores", SCORES),
            }
            self.evolution = read_table(file, "evolution", EVOLUTION)
            pair = read_table(file, "baseline", LOSS)[0]
        layers = tuple(
            LayerSize(row["name"].decode(), int(row["nodes"])) for row in stored["layers"]
        )
        baseline = LossAccuracy(float(pair["loss"]), float(pair["accuracy"]))
        self._memory = MemoryLedger(layers, baseline, _entries(self.path, stored))


def _entries(path: Path, stored: Mapping[str, Table]) -> list[Entry]:
    """Rebuild the ordered entries: events by `seq`, a layer's end after its last event."""
    events: list[tuple[float, Entry]] = []
    for row in stored["removed"]:
        seq, *values = row.item()
        events.append((seq, Removed(*values)))
    for row in stored["ignored"]:
        seq, layer, node, importance, is_bound, evaluations = row.item()
        events.append((seq, Ignored(layer, node, importance, evaluations, is_bound)))
    for row in stored["halved"]:
        seq, *counts = row.item()
        events.append((seq, Halved(*counts)))
    if sorted(seq for seq, _ in events) != list(range(len(events))):
        raise LedgerError(
            "Events are missing from the ledger: its sequence has gaps.",
            where=path,
            fix="restore the file from a copy, or start again in a new run folder",
        )
    for layer, row in enumerate(stored["layers"]):
        if row["finished_at"] >= 0:
            end = LayerFinished(layer, int(row["evaluations"]))
            events.append((int(row["finished_at"]) - 0.5, end))
    ordered = [entry for _, entry in sorted(events, key=lambda pair: pair[0])]
    return [*ordered, *(Scored(*row.item()) for row in stored["scores"])]
