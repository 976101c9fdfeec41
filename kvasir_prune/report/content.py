"""What the templates of HTML and Markdown are filled with: the same for both."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kvasir_prune.report import (
    captions,
    conclusions,
    facts,
    images,
    judgement,
    notation,
    summary,
    tables,
)
from kvasir_prune.report.schema import Record
from kvasir_prune.report.tables import Table


def content(record: Record) -> dict[str, Any]:
    """Return the names a template may use.

    Returns:
        `record`; its `title` and `description`, fit to be set; `summary`; `conclusions`;
        `training_outcome`; `caveats` (see `summary.caveats`); `table`, all tables by key; `splits`,
        their names, test first; `sections` and `glossary` as in `captions.yaml`; `note` and
        `figure`, functions that return a sentence and the words of a figure; `split_name`.
    """
    names = tables.splits(record)

    def figure(name: str) -> captions.Words:
        return captions.of_figure(name, names)

    note: Callable[..., str] = captions.note
    return {
        "record": record,
        "title": notation.printable(record.name).strip(),
        "description": notation.printable(record.description).strip(),
        "summary": summary.summarise(record),
        "conclusions": conclusions.conclusions(record),
        "caveats": summary.caveats(record),
        "training_outcome": summary.training_outcome(record),
        "table": {table.key: table for table in _tables(record)},
        "splits": names,
        "sections": _sections(record),
        "glossary": captions.captions()["glossary"],
        "note": note,
        "figure": figure,
        "split_name": notation.split_name,
    }


def _sections(record: Record) -> dict[str, Any]:
    judged = ("judgement", "flips")
    known: dict[str, Any] = captions.captions()["sections"]
    if record.results.assessment is not None:
        return known
    return {key: section for key, section in known.items() if key not in judged}


def _tables(record: Record) -> list[Table]:
    per_split = (
        table
        for name in tables.splits(record)
        for table in (
            tables.sensitivity(record, name),
            tables.confusion_delta(record, name),
            *tables.confusion_matrices(record, name),
        )
    )
    return [
        tables.loss_and_accuracy(record),
        tables.nodes_per_layer(record.results.layers),
        *per_split,
        *([] if record.results.assessment is None else judgement.tables(record.results.assessment)),
        facts.evolution(record),
        facts.training(record),
        facts.cost(record),
        facts.latency(record),
        facts.pruning(record),
        images.data(record),
        images.class_balance(record),
        images.data_check(record),
        images.split_deviation(record),
        *facts.provenance(record),
        facts.checklist(_sections(record)),
    ]
