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
_MISSING = "It is not there."


@dataclass(frozen=True)
class ThesisLogs:
    """What the logs hold.

    Attributes:
        layers: in order of work, last hidden layer first.
        removed: nodes in order of removal, for the layers that pruning reached.
        estimates: important, zero and worse -> nodes, for the layers that were measured; a kind
            whose file is missing is absent.
        series: split and quantity -> values, the first of them before any removal; no more than
            there were removals, and one, where these are known. An absent file is absent.
        found: file -> what was found in it, in a sentence.
    """

    layers: tuple[LayerSize, ...]
    removed: Nodes
    estimates: Mapping[str, Nodes]
    series: Mapping[tuple[str, str], tuple[float, ...]]
    found: Mapping[str, str]

    @property
    def read(self) -> tuple[str, ...]:
        """The files that were there."""
        return tuple(name for name, sentence in self.found.items() if sentence != _MISSING)


def read_logs(folder: Path, layers: Sequence[LayerSize]) -> ThesisLogs:
    """Read whatever logs there are.

    Args:
        folder: holds `Pruning`, `Evolution` and `Estimate`.
        layers: the network's hidden layers, first to last.

    Raises:
        LedgerError: no log is there; or one names nodes that the layers do not have, or holds
            something else than numbers.
    """
    order = tuple(reversed(layers))
    found: dict[str, str] = {}
    removed = _nodes(folder, REMOVED, order, found)
    estimates = {kind: _nodes(folder, name, order, found) for kind, name in ESTIMATES.items()}
    removals = sum(map(len, removed or ()))
    series = {
        key: _values(folder, name, None if removed is None else removals, found)
        for key, name in SERIES.items()
    }
    logs = ThesisLogs(
        order,
        removed or (),
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


def _lines(folder: Path, name: str, found: dict[str, str]) -> list[list[str]] | None:
    """Return the words of every line up to the last that has any; None if there is no file."""
    path = folder / name
    if not path.is_file():
        found[name] = _MISSING
        return None
    # A computer that lost its power leaves zeros where text should be.
    text = path.read_text(encoding="utf-8", errors="replace").replace("\0", " ")
    lines = [line.split() for line in text.splitlines()]
    while lines and not lines[-1]:
        lines.pop()
    if not lines:
        found[name] = "It is empty."
    return lines


def _nodes(
    folder: Path, name: str, order: Sequence[LayerSize], found: dict[str, str]
) -> Nodes | None:
    lines = _lines(folder, name, found)
    if not lines:
        return None if lines is None else ()
    blank = sum(not words for words in lines)
    # A blank line is a layer without such nodes only where that gives every layer its line.
    kept = list(enumerate(lines, start=1))
    if len(lines) != len(order):
        kept = [(number, words) for number, words in kept if words]
    if len(kept) > len(order):
        raise LedgerError(
            "A log has more lines than the network has hidden layers.",
            where=folder / name,
            got=f"{len(kept)} lines with nodes",
            expected=f"at most {len(order)}",
            fix="name the right network with --layers",
        )
    layers = [
        tuple(_node(word, layer, f"{folder / name}, line {number}") for word in words)
        for (number, words), layer in zip(kept, order, strict=False)
    ]
    once = tuple(tuple(dict.fromkeys(nodes)) for nodes in layers)
    again = sum(map(len, layers)) - sum(map(len, once))
    found[name] = f"{sum(map(len, once)):,} nodes in {len(once)} of {len(order)} layers."
    if blank:
        meaning = "layers without such nodes" if len(lines) == len(order) else "passed over"
        found[name] += f" Blank lines between: {blank:,}, taken as {meaning}."
    if again:
        found[name] += f" Nodes named again in their line, and passed over: {again:,}."
    return once


def _node(word: str, layer: LayerSize, where: str) -> int:
    if not (word.isascii() and word.isdigit()) or int(word) >= layer.nodes:
        raise LedgerError(
            "A log names a node that its layer does not have.",
            where=where,
            got=word[:40],
            expected=f"nodes of {layer.name}, 0 to {layer.nodes - 1}",
            fix="name the right network with --layers, or mend or take away the file: what the "
            "others hold is imported",
        )
    return int(word)


def _values(
    folder: Path, name: str, removals: int | None, found: dict[str, str]
) -> tuple[float, ...]:
    lines = _lines(folder, name, found)
    if not lines:
        return ()
    values = []
    for number, words in enumerate(lines, start=1):
        for word in words:
            try:
                values.append(float(word))
            except ValueError:
                raise LedgerError(
                    "A log holds something else than numbers.",
                    where=f"{folder / name}, line {number}",
                    got=word[:40],
                    expected="losses or accuracies, parted by blanks",
                    fix="mend or take away the file: what the others hold is imported",
                ) from None
    found[name] = f"{len(values):,} values."
    if removals is None:
        return tuple(values)
    if len(values) != removals + 1:
        found[name] += f" There should be {removals + 1:,}: one before the first of {removals:,} "
        found[name] += "removals and one after each; "
        found[name] += (
            "the rest is passed over."
            if len(values) > removals + 1
            else "they are taken as the first ones."
        )
    return tuple(values[: removals + 1])
