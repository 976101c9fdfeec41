"""The tables of the report as plain rows of text, shared by HTML and Markdown.

Here are the counterparts of thesis Tables 5.1 to 5.5, with the sensitivities and confusion matrices
they rest on; `facts` holds the others.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from kvasir_prune.report import captions, notation
from kvasir_prune.report.captions import Words
from kvasir_prune.report.schema import Record, Split
from kvasir_prune.types import SPLITS, TEST

Row = tuple[str, ...]


@dataclass(frozen=True)
class Column:
    """One column: its heading, the heading it shares with its neighbours, whether it is text."""

    head: str
    group: str = ""
    is_text: bool = False


@dataclass(frozen=True)
class Table:
    """One table, ready to be set.

    Attributes:
        key: unique name, fit for an anchor: `loss_accuracy`, `confusion_delta_test`.
        words: its title, note and counterpart in the thesis.
        columns: headings; the first column names the row.
        rows: texts, each row as long as `columns`.
        total: a last row that sums the others, or None.
        is_matrix: True where rows and columns are the same classes.
    """

    key: str
    words: Words
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    total: Row | None = None
    is_matrix: bool = False

    @property
    def is_words(self) -> bool:
        """Whether it wraps to any width, so that nobody has to move it sideways."""
        return all(column.is_text for column in self.columns)

    @property
    def is_pairs(self) -> bool:
        """Whether it says what is what, so that its headings need not be seen."""
        return self.is_words and len(self.columns) == 2


class NodeCounts(Protocol):
    """A layer, its nodes, and how many of them are what; None where that is not known."""

    @property
    def name(self) -> str:
        """Its name in the network."""

    @property
    def nodes(self) -> int:
        """Before pruning."""

    @property
    def important(self) -> int | None:
        """Below the lower threshold."""

    @property
    def zero(self) -> int | None:
        """Between the thresholds."""

    @property
    def worse(self) -> int | None:
        """Above the upper threshold."""

    @property
    def removed(self) -> int | None:
        """By the pruning."""


def columns(first: str, *others: str, group: str = "") -> tuple[Column, ...]:
    """Return a column of text headed `first` and columns of numbers under one `group`."""
    return (Column(first, is_text=True), *(Column(head, group) for head in others))


def pairs(key: str, facts: Mapping[str, str]) -> Table:
    """Return a table that says what is what."""
    heads = (Column("What", is_text=True), Column("Value", is_text=True))
    rows = tuple(
        (notation.printable(name), notation.printable(value)) for name, value in facts.items()
    )
    return Table(key, captions.of_table(key), heads, rows)


def splits(record: Record) -> tuple[str, ...]:
    """Return the names of the record's splits, test first, as a reader should meet them."""
    known = [name for name in reversed(SPLITS) if name in record.results.splits]
    return (*known, *(name for name in record.results.splits if name not in SPLITS))


def classes(record: Record) -> tuple[str, ...]:
    """Return the names of the classes, fit to be set."""
    return tuple(notation.printable(name) for name in record.results.classes)


def loss_and_accuracy(record: Record) -> Table:
    """Return thesis Table 5.1: loss and accuracy of each split before and after pruning."""
    return Table(
        "loss_accuracy",
        captions.of_table("loss_accuracy"),
        (
            *columns("Images", "Number"),
            *columns("", "before", "after", "change", group="Loss")[1:],
            *columns("", "before", "after", "change", group="Accuracy")[1:],
        ),
        tuple(_outcome_row(record, name) for name in splits(record)),
    )


def _outcome_row(record: Record, name: str) -> Row:
    split = record.results.splits[name]
    before, after = split.before, split.after
    label = notation.split_name(name).capitalize()
    chosen_here = name == record.results.pruning.chosen_on and name != TEST
    return (
        f"{label} (nodes were chosen here)" if chosen_here else label,
        notation.count(split.images),
        notation.loss(before.loss),
        notation.loss(after.loss),
        notation.signed_loss(after.loss - before.loss),
        notation.percent(before.accuracy),
        notation.percent(after.accuracy),
        notation.points((after.accuracy - before.accuracy) * 100),
    )


def nodes_per_layer(layers: Sequence[NodeCounts]) -> Table:
    """Return thesis Table 5.2: the nodes of each layer, by estimated importance and removal."""
    measured = [(layer.important, layer.zero, layer.worse) for layer in layers]
    sums = [_sum_of_known(column) for column in zip(*measured, strict=True)] or [None] * 3
    nodes = sum(layer.nodes for layer in layers)
    # A layer that pruning did not come to has lost none.
    reached = [layer.removed for layer in layers if layer.removed is not None]
    return Table(
        "nodes_per_layer",
        captions.of_table("nodes_per_layer"),
        (
            *columns("Layer", "Nodes"),
            *columns("", "important", "zero", "worse", group="Estimated")[1:],
            *columns("", "nodes", "share", group="Removed")[1:],
        ),
        tuple(
            _layer_row(layer.name, layer.nodes, known, layer.removed)
            for layer, known in zip(layers, measured, strict=True)
        ),
        _layer_row("All layers", nodes, sums, sum(reached) if reached else None),
    )


def _sum_of_known(numbers: Sequence[int | None]) -> int | None:
    known = [number for number in numbers if number is not None]
    return sum(known) if len(known) == len(numbers) else None


def _layer_row(name: str, nodes: int, measured: Sequence[int | None], removed: int | None) -> Row:
    return (
        notation.printable(name),
        notation.count(nodes),
        *(notation.count(number, notation.NOT_MEASURED) for number in measured),
        notation.count(removed),
        notation.DASH
        if removed is None or not nodes
        else f"{notation.percent(removed / nodes, 1)}%",
    )


def sensitivity(record: Record, name: str) -> Table:
    """Return the sensitivity of each class on one split, with the images it rests on."""
    return Table(
        f"sensitivity_{name}",
        captions.of_table("sensitivity", name),
        (
            *columns("Class", "Images"),
            *columns("", "before", "after", "change", group="Sensitivity")[1:],
            *columns("", "before", "after", "change", group="Right answers")[1:],
        ),
        tuple(_sensitivity_rows(record.results.splits[name], classes(record))),
    )


def _sensitivity_rows(split: Split, names: Sequence[str]) -> Iterator[Row]:
    for i, name in enumerate(names):
        before, after = split.before.class_accuracy[i], split.after.class_accuracy[i]
        change = None if before is None or after is None else (after - before) * 100
        was, is_now = split.before.confusion_matrix[i][i], split.after.confusion_matrix[i][i]
        yield (
            name,
            notation.count(split.images_per_class[i]),
            notation.percent(before),
            notation.percent(after),
            notation.points(change),
            notation.count(was),
            notation.count(is_now),
            notation.signed_count(is_now - was),
        )


def confusion_delta(record: Record, name: str) -> Table:
    """Return thesis Table 5.3, 5.4 or 5.5: the change of the confusion matrix, in percent."""
    rows = (
        tuple(notation.points(value, 1) for value in row)
        for row in record.results.splits[name].confusion_delta_percent
    )
    return _matrix("confusion_delta", record, name, rows)


def confusion_matrices(record: Record, name: str) -> tuple[Table, Table]:
    """Return the confusion matrices of one split before and after pruning, in images."""
    split = record.results.splits[name]
    before, after = (
        _matrix(
            kind,
            record,
            name,
            (tuple(map(notation.count, row)) for row in outcome.confusion_matrix),
        )
        for kind, outcome in (("confusion_before", split.before), ("confusion_after", split.after))
    )
    return before, after


def _matrix(kind: str, record: Record, split: str, rows: Iterator[Row]) -> Table:
    names = classes(record)
    return Table(
        f"{kind}_{split}",
        captions.of_table(kind, split),
        columns("Actual", *names, group="Predicted"),
        tuple((name, *row) for name, row in zip(names, rows, strict=True)),
        is_matrix=True,
    )
