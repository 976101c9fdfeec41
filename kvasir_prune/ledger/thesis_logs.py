"""The text logs of the program of 2020 (Charpentier 2020, chapter 5), as values.

It appended to them and crashed often, so any file may be missing, cut short or full of blank lines.
Lists of nodes have one line a layer, last hidden layer first; losses and accuracies stand on one
line, the value before any removal first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from kvasir_prune.errors import LedgerError
from kvasir_prune.ledger.log_words import node_of, value_of, words_of
from kvasir_prune.types import TEST, TRAIN, VALIDATION, LayerSize

REMOVED = "Pruning/removed.txt"
ESTIMATES = {kind: f"Estimate/{kind}.txt" for kind in ("important", "zero", "worse")}
SERIES = {
    (VALIDATION, "loss"): "Pruning/loss.txt",
    (VALIDATION, "accuracy"): "Pruning/accuracy.txt",
    **{
        (split, quantity): f"Evolution/{quantity}_{split}.txt"
        for split in (TRAIN, TEST)
        for quantity in ("loss", "accuracy")
    },
}
"""Split and quantity -> file. The program judged nodes by the validation images."""

Nodes = tuple[tuple[int, ...], ...]
_MISSING, _EMPTY = "It is not there.", "It is empty."


@dataclass(frozen=True)
class ThesisLogs:
    """What the logs hold.

    Attributes:
        layers: in order of work, last hidden layer first.
        removed: nodes in order of removal, for the layers that pruning reached; None if no log
            says which.
        estimates: important, zero and worse -> nodes, for the layers that were measured; a kind
            of which nothing is left is absent.
        series: split and quantity -> values, the first of them before any removal. There may be
            more or fewer than removals. One of which nothing is left is absent.
        found: file -> what was found in it, in a sentence.
    """

    layers: tuple[LayerSize, ...]
    removed: Nodes | None
    estimates: Mapping[str, Nodes]
    series: Mapping[tuple[str, str], tuple[float, ...]]
    found: Mapping[str, str]

    @property
    def read(self) -> tuple[str, ...]:
        """The files that were there."""
        return tuple(name for name, sentence in self.found.items() if sentence != _MISSING)

    @property
    def removals(self) -> int:
        """How many removals the logs name."""
        return sum(map(len, self.removed or ()))


def read_logs(folder: Path, layers: Sequence[LayerSize]) -> ThesisLogs:
    """Read whatever logs there are.

    Args:
        folder: holds `Pruning`, `Evolution` and `Estimate`.
        layers: the network's hidden layers, first to last.

    Raises:
        LedgerError: no log is there; or one names nodes that the layers do not have, or holds
            something else than losses and accuracies.
    """
    order = tuple(reversed(layers))
    found: dict[str, str] = {}
    removed = _nodes(folder, REMOVED, order, found)
    estimates = {kind: _nodes(folder, name, order, found) for kind, name in ESTIMATES.items()}
    expected = None if removed is None else 1 + sum(map(len, removed))
    series = {key: _values(folder, key, expected, found) for key in SERIES}
    logs = ThesisLogs(
        order,
        removed,
        {kind: nodes for kind, nodes in estimates.items() if nodes is not None},
        {key: values for key, values in series.items() if values},
        found,
    )
    if not logs.read:
        raise LedgerError(
            "There are no logs of a pruning here.",
            where=folder,
            expected=f"a folder with {REMOVED} and others",
            fix="give the folder that holds Pruning, Evolution and Estimate",
        )
    return logs


def _nodes(
    folder: Path, name: str, order: Sequence[LayerSize], found: dict[str, str]
) -> Nodes | None:
    """Return the nodes of every line; None where nothing is left."""
    lines = words_of(folder / name)
    if not any(lines or ()):
        found[name] = _MISSING if lines is None else _EMPTY
        return None
    assert lines is not None
    filled = [(number, words) for number, words in enumerate(lines, start=1) if words]
    # A blank line is a layer without such nodes only where that gives every layer its line.
    complete = len(lines) == len(order)
    kept = list(enumerate(lines, start=1)) if complete else filled
    if len(kept) > len(order):
        raise LedgerError(
            "A log has more lines than the network has hidden layers.",
            where=folder / name,
            got=f"{len(kept)} lines with nodes",
            expected=f"at most {len(order)}",
            fix="name the right network with --layers",
        )
    layers = [
        tuple(node_of(word, layer, f"{folder / name}, line {number}") for word in words)
        for (number, words), layer in zip(kept, order, strict=False)
    ]
    once = tuple(tuple(dict.fromkeys(nodes)) for nodes in layers)
    again = sum(map(len, layers)) - sum(map(len, once))
    blank = filled[-1][0] - len(filled)
    found[name] = f"{sum(map(len, once)):,} nodes in {len(once)} of {len(order)} layers."
    if complete and len(filled) < len(order):
        found[name] += " Blank lines were taken for layers without such nodes."
    elif blank:
        found[name] += (
            f" Blank lines between the others: {blank:,}, passed over; if one of them is a layer "
            "without such nodes, the lines after it belong to other layers than they are told of."
        )
    if again:
        found[name] += f" Nodes named again in their line, and passed over: {again:,}."
    return once


def _values(
    folder: Path, key: tuple[str, str], expected: int | None, found: dict[str, str]
) -> tuple[float, ...]:
    name = SERIES[key]
    lines = words_of(folder / name)
    if not any(lines or ()):
        found[name] = _MISSING if lines is None else _EMPTY
        return ()
    values = tuple(
        value_of(word, key[1], f"{folder / name}, line {number}")
        for number, words in enumerate(lines or (), start=1)
        for word in words
    )
    found[name] = f"{len(values):,} values."
    if expected is not None and len(values) != expected:
        found[name] += (
            f" For {expected - 1:,} removals there should be {expected:,}, one before the first "
            "and one after each; they are taken in that order."
        )
    return values
