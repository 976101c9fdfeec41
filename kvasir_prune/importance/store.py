"""Node importances in HDF5, published whole by atomic replacement; read without Keras.

Layout (float64 throughout; every row carries a CRC-32)::

    /layers    name, nodes, important, zero, worse; first layer to last
    /baseline  loss, accuracy of the whole network on the scoring set
    /nodes     layer (index into /layers), node, loss, accuracy, importance

Attributes: schema_version, complete, low, high, halvings.LAYER where memory did not suffice, and
the digests of what it was measured on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np

from kvasir_prune.errors import LedgerError
from kvasir_prune.ledger.hdf5_file import publishing_hdf5, reading_hdf5
from kvasir_prune.ledger.tables import read_table, table
from kvasir_prune.types import LayerSize, LossAccuracy, Scored

SCHEMA_VERSION = 2
HALVINGS = "halvings."
LAYERS = np.dtype(
    [("name", "S128"), ("nodes", "<i8"), ("important", "<i8"), ("zero", "<i8"), ("worse", "<i8")]
)
BASELINE = np.dtype([("loss", "<f8"), ("accuracy", "<f8")])
NODES = np.dtype(
    [
        ("layer", "<i4"),
        ("node", "<i4"),
        ("loss", "<f8"),
        ("accuracy", "<f8"),
        ("importance", "<f8"),
    ]
)


@dataclass(frozen=True)
class Measurement:
    """One node: loss and accuracy without it, and its importance (eq. 3.1)."""

    layer: int
    node: int
    loss: float
    accuracy: float
    importance: float


@dataclass(frozen=True)
class ClassCounts:
    """How many nodes of a layer are important (below low), zero (low to high), worse (above)."""

    important: int
    zero: int
    worse: int


def classify(importances: Sequence[float], low: float, high: float) -> ClassCounts:
    """Count the classes of thesis section 3.2; both thresholds belong to the zero nodes."""
    important = sum(value < low for value in importances)
    worse = sum(value > high for value in importances)
    return ClassCounts(important, len(importances) - important - worse, worse)


class ImportanceStore:
    """Measured importances with a file behind them.

    Args:
        path: the file; read if it exists.
        layers, baseline, low, high, identity: what a new file starts from; an existing one
            brings its own.

    Attributes:
        halvings: layer name -> how often its steps were halved for want of memory.

    Raises:
        LedgerError: the file is damaged, or of another schema version.
    """

    def __init__(
        self,
        path: Path,
        *,
        layers: tuple[LayerSize, ...] = (),
        baseline: LossAccuracy | None = None,
        low: float = 0.0,
        high: float = 0.0,
        identity: Mapping[str, str] | None = None,
    ) -> None:
        self.path = path
        self._measured: tuple[Measurement, ...] = ()
        self.halvings: dict[str, int] = {}
        if path.exists():
            self._read()
            return
        if baseline is None:
            raise LedgerError("No importance has been measured yet.", where=path)
        self.layers, self.baseline = layers, baseline
        self.low, self.high, self.identity = low, high, dict(identity or {})

    @property
    def measured(self) -> tuple[Measurement, ...]:
        """All measurements so far, in order of work."""
        return self._measured

    @property
    def complete(self) -> bool:
        """Whether every node of every layer is measured."""
        return self._is_all(self._measured)

    def _is_all(self, measured: Sequence[Measurement]) -> bool:
        return len(measured) == sum(layer.nodes for layer in self.layers)

    def missing(self, layer: int) -> tuple[int, ...]:
        """Return the nodes of a layer that are not measured yet, in index order."""
        known = {m.node for m in self._measured if m.layer == layer}
        return tuple(node for node in range(self.layers[layer].nodes) if node not in known)

    def record(self, layer: int, scores: Sequence[Scored]) -> tuple[Measurement, ...]:
        """Add scores of one layer's nodes; they are durable after the next `commit`."""
        fresh = tuple(
            Measurement(layer, s.node, s.loss, s.accuracy, self.baseline.loss - s.loss)
            for s in scores
        )
        self._measured += fresh
        return fresh

    def counts(self) -> dict[str, ClassCounts]:
        """Return layer name -> class counts, for layers that are measured whole."""
        return self._counts(self._measured)

    def _counts(self, measured: Sequence[Measurement]) -> dict[str, ClassCounts]:
        by_layer: dict[int, list[float]] = {}
        for m in measured:
            by_layer.setdefault(m.layer, []).append(m.importance)
        return {
            self.layers[number].name: classify(values, self.low, self.high)
            for number, values in by_layer.items()
            if len(values) == self.layers[number].nodes
        }

    def commit(self) -> None:
        """Publish all measurements; a reader sees this commit or the one before.

        Raises:
            StorageError: the file system does not take it; the commit before stands.
        """
        # In this order: a score must not be committed without the halving that it came behind.
        measured = self._measured
        halvings = self.halvings
        counts = self._counts(measured)
        none = ClassCounts(-1, -1, -1)
        rows = [
            (layer.name.encode(), layer.nodes, *astuple(counts.get(layer.name, none)))
            for layer in self.layers
        ]
        attributes = {"low": self.low, "high": self.high, "complete": self._is_all(measured)}
        holds = {"nodes": len(measured)}
        with publishing_hdf5(self.path, SCHEMA_VERSION, keep_previous=True, holds=holds) as file:
            for key, value in attributes.items():
                file.attrs[key] = value
            for layer, times in halvings.items():
                file.attrs[f"{HALVINGS}{layer}"] = times
            for key, text in self.identity.items():
                file.attrs[f"identity.{key}"] = text
            file.create_dataset("layers", data=table(LAYERS, rows))
            file.create_dataset("baseline", data=table(BASELINE, [astuple(self.baseline)])[0])
            file.create_dataset("nodes", data=table(NODES, map(astuple, measured)))

    def _read(self) -> None:
        with reading_hdf5(self.path, SCHEMA_VERSION) as file:
            prefix = "identity."
            self.identity = {
                key.removeprefix(prefix): str(value)
                for key, value in file.attrs.items()
                if key.startswith(prefix)
            }
            self.halvings = {
                key.removeprefix(HALVINGS): int(value)
                for key, value in file.attrs.items()
                if key.startswith(HALVINGS)
            }
            self.low, self.high = float(file.attrs["low"]), float(file.attrs["high"])
            layers = read_table(file, "layers", LAYERS, self.path)
            self.layers = tuple(LayerSize(r["name"].decode(), int(r["nodes"])) for r in layers)
            (baseline,) = read_table(file, "baseline", BASELINE, self.path)
            nodes = read_table(file, "nodes", NODES, self.path)
        self.baseline = LossAccuracy(*baseline.item())
        self._measured = tuple(Measurement(*row.item()) for row in nodes)
