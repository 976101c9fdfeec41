"""What is known of a pruning of which only the text logs of 2020 are left: `imported.json`."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

from pydantic import ValidationError

from kvasir_prune.errors import RunFolderError
from kvasir_prune.ledger.thesis_logs import ThesisLogs
from kvasir_prune.report.schema import EvolutionPoint, Layer, Measured, Part, TurningPoint
from kvasir_prune.report.turning_point import turning_point
from kvasir_prune.types import SPLITS, VALIDATION


class LayerEnd(Part):
    """How many nodes were removed in all when a layer's pruning began and when it ended."""

    name: str
    begun: int
    ended: int


class Series(Part):
    """The values of one split by number of removed nodes; accuracies are fractions.

    None stands for what is no finite number.
    """

    split: str
    quantity: str
    values: list[float | None]


class ImportedRecord(Part):
    """The whole of `imported.json`.

    Attributes:
        source: folder of the logs.
        layers: first to last, as in the report of a run; counts that no log holds are None.
        order: the layers that lost nodes, in the order of pruning.
        series: losses and accuracies on the splits that were logged.
        turning_point: as in the report of a run; None if there is none, or for want of logs.
        found: file -> what was found in it.
    """

    schema_version: int = 1
    source: str
    layers: list[Layer]
    order: list[LayerEnd]
    series: list[Series]
    turning_point: TurningPoint | None
    found: dict[str, str]


def imported_record(logs: ThesisLogs, source: Path) -> ImportedRecord:
    """Compute what the report of some logs says; `source` is their folder."""
    order, done = [], 0
    for layer, nodes in zip(logs.layers, logs.removed, strict=False):
        order.append(LayerEnd(name=layer.name, begun=done, ended=done + len(nodes)))
        done += len(nodes)
    return ImportedRecord(
        source=str(source),
        layers=list(_layers(logs))[::-1],
        order=order,
        series=[
            Series(split=split, quantity=quantity, values=[_or_none(value) for value in values])
            for (split, quantity), values in logs.series.items()
        ],
        turning_point=turning_point(_points(logs, order), VALIDATION),
        found=dict(logs.found),
    )


def _layers(logs: ThesisLogs) -> Iterator[Layer]:
    """Yield the layers in the order of work."""
    for place, layer in enumerate(logs.layers):
        counts = {
            kind: len(nodes[place]) if place < len(nodes) else None
            for kind, nodes in logs.estimates.items()
        }
        removed = len(logs.removed[place]) if place < len(logs.removed) else 0
        yield Layer(
            name=layer.name,
            nodes=layer.nodes,
            important=counts.get("important"),
            zero=counts.get("zero"),
            worse=counts.get("worse"),
            removed=removed,
        )


def _points(logs: ThesisLogs, order: Sequence[LayerEnd]) -> list[EvolutionPoint]:
    """Return the points; none unless everything was logged at each."""
    series = [logs.series.get((split, q), ()) for split in SPLITS for q in ("loss", "accuracy")]
    if not all(math.isfinite(value) for values in series for value in values):
        return []
    layers = [None, *(layer.name for layer in order for _ in range(layer.ended - layer.begun))]
    return [
        EvolutionPoint(
            removed=removed,
            layer=layers[removed],
            train=Measured(loss=values[0], accuracy=values[1]),
            validation=Measured(loss=values[2], accuracy=values[3]),
            test=Measured(loss=values[4], accuracy=values[5]),
        )
        for removed, values in enumerate(zip(*series, strict=False))
        if removed < len(layers)
    ]


def _or_none(value: float) -> float | None:
    return value if math.isfinite(value) else None


def read_imported(path: Path) -> ImportedRecord:
    """Read an `imported.json`.

    Raises:
        RunFolderError: it is damaged, or of another version.
    """
    try:
        return ImportedRecord.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise RunFolderError(
            "The record of imported logs is damaged.",
            where=path,
            got=f"{error.error_count()} keys are missing or wrong",
            fix="import the logs again into a new folder with `kvasir-prune import-thesis`",
        ) from None
