"""The tables of the images: where they came from, how they are divided, what the checks found."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

from kvasir_prune.report import captions, notation
from kvasir_prune.report.schema import Record
from kvasir_prune.report.tables import Column, Row, Table, classes, columns, pairs, splits
from kvasir_prune.types import SPLITS

_TEST_FIRST = tuple(reversed(SPLITS))
_SKIPPED_SHOWN = 20


def data(record: Record) -> Table:
    """Return where the images came from and what was done to them."""
    images = record.results.data
    conversions = [f"{kind}: {notation.count(n)}" for kind, n in images.conversions.items()]
    return pairs(
        "data",
        {
            "Source": images.source,
            "Image files read": notation.count(images.images + len(images.skipped)),
            "Images used": notation.count(images.images),
            "In the sets": ", ".join(
                f"{notation.split_name(name)} {notation.count(record.results.splits[name].images)}"
                for name in splits(record)
            ),
            "Classes": notation.count(len(record.results.classes)),
            "Size in the network": " \N{MULTIPLICATION SIGN} ".join(map(str, images.image_side_px))
            + " px",
            "Groups of images kept together": (
                "not grouped" if images.groups is None else notation.count(images.groups)
            ),
            "Made black": captions.note(
                "blanked", where="; ".join(map(notation.rectangle, images.blanked))
            )
            if images.blanked
            else captions.note("no_blanked"),
            "Converted": ", ".join(conversions) or captions.note("no_conversions"),
            "Skipped": _skipped(images.skipped),
        },
    )


def _skipped(files: Sequence[str]) -> str:
    if not files:
        return captions.note("no_skipped")
    more = len(files) - _SKIPPED_SHOWN
    ending = f"; and {notation.count(more)} more, listed in report.json" if more > 0 else ""
    return "; ".join(files[:_SKIPPED_SHOWN]) + ending


def class_balance(record: Record) -> Table:
    """Return how many images of each class are in each set, and their share of the set."""
    names, counted = splits(record), record.results.splits
    totals = [counted[name].images for name in names]
    rows = [
        _balance_row(label, [counted[name].images_per_class[k] for name in names], totals)
        for k, label in enumerate(classes(record))
    ]
    return Table(
        "class_balance",
        captions.of_table("class_balance"),
        (
            *columns("Class"),
            *(
                Column(head, notation.split_name(name).capitalize())
                for name in names
                for head in ("images", "share")
            ),
            *columns("", "All")[1:],
        ),
        tuple(rows),
        _balance_row("All classes", totals, totals),
    )


def _balance_row(label: str, images: Sequence[int], totals: Sequence[int]) -> Row:
    shares = (
        number / total if total else None for number, total in zip(images, totals, strict=True)
    )
    cells = (
        (notation.count(number), notation.DASH if share is None else f"{notation.tenths(share)}%")
        for number, share in zip(images, shares, strict=True)
    )
    return (label, *chain.from_iterable(cells), notation.count(sum(images)))


def data_check(record: Record) -> Table:
    """Return what the checks of the images found."""
    return Table(
        "data_check",
        captions.of_table("data_check"),
        tuple(Column(head, is_text=True) for head in ("Check", "Outcome", "What was found")),
        tuple(
            (
                f"{one.title} ({one.code}, {one.severity})",
                one.outcome,
                notation.printable(one.sentence),
            )
            for one in record.results.data_check.findings
        ),
    )


def split_deviation(record: Record) -> Table:
    """Return achieved minus intended share of each class in each split, in percentage points."""
    deviation = record.results.data.split_deviation_percent
    order = [SPLITS.index(name) for name in _TEST_FIRST]
    known = [name for name in record.results.classes if name in deviation]
    return Table(
        "split_deviation",
        captions.of_table("split_deviation"),
        columns("Class", *(notation.split_name(name) for name in _TEST_FIRST)),
        tuple(
            (notation.printable(name), *(notation.points(deviation[name][i]) for i in order))
            for name in known
        ),
    )
