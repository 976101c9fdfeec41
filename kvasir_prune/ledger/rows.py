"""The tables of the ledger's file, and the way between their rows and entries."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kvasir_prune.ledger.tables import Table, table
from kvasir_prune.types import (
    Entry,
    Halved,
    Ignored,
    LayerFinished,
    LayerSize,
    Removed,
    Scored,
)

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
        ("evaluations", "<i8"),
        ("is_bound", "?"),
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
COLUMNS = {"removed": REMOVED, "ignored": IGNORED, "halved": HALVED}
"""Table -> columns of the events that have a `seq`, each the fields of its class in their order."""
KINDS: dict[str, type[Removed] | type[Ignored] | type[Halved]] = {
    "removed": Removed,
    "ignored": Ignored,
    "halved": Halved,
}


@dataclass(frozen=True)
class _Made:
    """What `EventTables` has made rows of."""

    events: int
    seq: int
    ends: tuple[tuple[int, int], ...]
    tables: Mapping[str, Table]


class EventTables:
    """Tables of events that only ever grow; a row is made and checked once."""

    def __init__(self, layers: Sequence[LayerSize]) -> None:
        self._layers = layers
        empty = {name: table(columns, []) for name, columns in COLUMNS.items()}
        self._made = _Made(0, 0, ((-1, 0),) * len(layers), empty)

    def of(self, events: Sequence[Entry]) -> dict[str, Table]:
        """Return the tables of all events; those of the last call are the first of them."""
        rows: dict[str, list[tuple[Any, ...]]] = {name: [] for name in COLUMNS}
        ends, seq = list(self._made.ends), self._made.seq
        for event in events[self._made.events :]:
            if isinstance(event, LayerFinished):
                ends[event.layer] = (seq, event.evaluations)
                continue
            rows[type(event).__name__.lower()].append((seq, *vars(event).values()))
            seq += 1
        tables = {
            name: np.concatenate([made, table(COLUMNS[name], rows[name])]) if rows[name] else made
            for name, made in self._made.tables.items()
        }
        # In one assignment: a signal may raise an exception at any place in here.
        self._made = _Made(len(events), seq, tuple(ends), tables)
        layers = [
            (layer.name.encode(), layer.nodes, *end)
            for layer, end in zip(self._layers, ends, strict=True)
        ]
        return {"layers": table(LAYERS, layers), **tables}


def layers_of(stored: Table) -> tuple[LayerSize, ...]:
    """Return the layers of a job from its table."""
    return tuple(LayerSize(row["name"].decode(), int(row["nodes"])) for row in stored)


def entries_of(stored: Mapping[str, Table]) -> tuple[Entry, ...] | None:
    """Rebuild the entries: events by `seq`, a layer's end after its last event, then the scores.

    Returns:
        None where the sequence of events has gaps.
    """
    events: list[tuple[float, Entry]] = []
    for name, kind in KINDS.items():
        for row in stored[name]:
            seq, *values = row.item()
            events.append((seq, kind(*values)))
    if sorted(seq for seq, _ in events) != list(range(len(events))):
        return None
    for layer, row in enumerate(stored["layers"]):
        if row["finished_at"] >= 0:
            end = LayerFinished(layer, int(row["evaluations"]))
            events.append((int(row["finished_at"]) - 0.5, end))
    ordered = [entry for _, entry in sorted(events, key=lambda pair: pair[0])]
    return (*ordered, *(Scored(*row.item()) for row in stored["scores"]))


def score_rows(scores: Iterable[Scored]) -> Table:
    """Return the table of scores."""
    return table(SCORES, [tuple(vars(score).values()) for score in scores])
