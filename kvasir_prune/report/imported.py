"""What is known of a pruning of which only the text logs of 2020 are left: `imported.json`."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from kvasir_prune.errors import RunFolderError
from kvasir_prune.ledger.thesis_logs import ThesisLogs
from kvasir_prune.publish import publish_text, sha256_json
from kvasir_prune.report.schema import Measured, Part, TurningPoint
from kvasir_prune.report.turning_point import place_of_turn
from kvasir_prune.types import TEST, VALIDATION


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


class LoggedLayer(Part):
    """As `schema.Layer`, but every count that no log holds is None."""

    name: str
    nodes: int
    important: int | None = None
    zero: int | None = None
    worse: int | None = None
    removed: int | None = None


class ImportedRecord(Part):
    """The whole of `imported.json`.

    Attributes:
        source: folder of the logs.
        layers: first to last, as in the report of a run; counts that no log holds are None.
        order: the layers that pruning reached, in its order.
        series: losses and accuracies on the splits that were logged.
        turning_point: as in the report of a run; None if there is none, or for want of logs.
        found: file -> what was found in it.
    """

    schema_version: Literal[1] = 1
    source: str
    layers: list[LoggedLayer]
    order: list[LayerEnd]
    series: list[Series]
    turning_point: TurningPoint | None
    found: dict[str, str]


def imported_record(logs: ThesisLogs, source: Path) -> ImportedRecord:
    """Compute what the report of some logs says; `source` is their folder."""
    order, done = [], 0
    for layer, nodes in zip(logs.layers, logs.removed or (), strict=False):
        order.append(LayerEnd(name=layer.name, begun=done, ended=done + len(nodes)))
        done += len(nodes)
    return ImportedRecord(
        # A name that is no text must not keep the record from being written.
        source=str(source).encode("utf-8", "replace").decode(),
        layers=list(_layers(logs))[::-1],
        order=order,
        series=[
            Series(split=split, quantity=quantity, values=[_or_none(value) for value in values])
            for (split, quantity), values in logs.series.items()
        ],
        turning_point=_turn(logs, order),
        found=dict(logs.found),
    )


def _layers(logs: ThesisLogs) -> Iterator[LoggedLayer]:
    """Yield the layers in the order of work."""
    named = {**logs.estimates, "removed": logs.removed or ()}
    for place, layer in enumerate(logs.layers):
        counts = {
            kind: len(nodes[place]) if place < len(nodes) else None for kind, nodes in named.items()
        }
        yield LoggedLayer(name=layer.name, nodes=layer.nodes, **counts)


def _turn(logs: ThesisLogs, order: Sequence[LayerEnd]) -> TurningPoint | None:
    """Return the turning point; None also where a log it rests on does not reach the end."""
    keys = ((TEST, "loss"), (TEST, "accuracy"), (VALIDATION, "loss"))
    points = logs.removals + 1
    test, accuracy, judged = (logs.series.get(key, ())[:points] for key in keys)
    for values in (test, accuracy, judged):
        if len(values) < points or not all(map(math.isfinite, values)):
            return None
    place = place_of_turn(test, judged)
    if place is None:
        return None
    return TurningPoint(
        removed=place,
        layer=next((layer.name for layer in order if layer.begun < place <= layer.ended), None),
        removed_after=logs.removals - place,
        test_then=Measured(loss=test[place], accuracy=accuracy[place]),
        test_at_the_end=Measured(loss=test[-1], accuracy=accuracy[-1]),
        judged_then=judged[place],
        judged_at_the_end=judged[-1],
    )


def _or_none(value: float) -> float | None:
    return value if math.isfinite(value) else None


def read_imported(path: Path) -> ImportedRecord:
    """Read an `imported.json`.

    Raises:
        RunFolderError: it is damaged, or of another version.
    """
    try:
        content = json.loads(path.read_bytes())
        if content.pop("sha256") != sha256_json(content):
            raise ValueError("other content than was written: it does not match its digest")
        return ImportedRecord.model_validate(content)
    except (ValueError, KeyError, AttributeError) as error:
        reason = error.errors() if isinstance(error, ValidationError) else error
        raise RunFolderError(
            "The record of imported logs is damaged, or of another version.",
            where=path,
            got=reason,
            fix="import the logs again into a new folder with `kvasir-prune import-thesis`",
        ) from None


def write_record(record: ImportedRecord, path: Path) -> None:
    """Publish an `imported.json` that holds its own SHA-256."""
    content = record.model_dump(mode="json")
    publish_text(path, json.dumps({**content, "sha256": sha256_json(content)}, indent=2) + "\n")
