"""The renderings of imported logs: as much of a report as they hold."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path

from markupsafe import Markup

from kvasir_prune.publish import publish_text
from kvasir_prune.report import captions, facts, figures, html, markdown, notation, tables
from kvasir_prune.report.csv_tables import csv_text
from kvasir_prune.report.curves import Curve, Stretch, evolution
from kvasir_prune.report.drawing import house_style, to_svg
from kvasir_prune.report.imported import ImportedRecord, LoggedLayer, write_record
from kvasir_prune.report.publishing import FIGURES, TABLES, publish_all
from kvasir_prune.report.summary import turning_sentence
from kvasir_prune.report.tables import Column, Row, Table
from kvasir_prune.types import SPLITS, VALIDATION

_TEST_FIRST = tuple(reversed(SPLITS))


def write_imported(record: ImportedRecord, folder: Path) -> Path:
    """Publish `report.html`, `report.md`, figures, CSV tables and `imported.json`.

    Args:
        record: what to say.
        folder: existing folder; earlier renderings in it are replaced.

    Returns:
        Path of the HTML file.
    """
    drawn, turn = _draw(record), record.turning_point
    publish_all(folder / FIGURES, {f"{name}.svg": svg for name, svg in drawn.items()})
    tables_of = _csv_texts(record).items()
    publish_all(folder / TABLES, {f"{name}.csv": text for name, text in tables_of})
    values = {
        "source": notation.printable(record.source),
        "turn": None if turn is None else turning_sentence(turn, VALIDATION),
        "nodes": tables.nodes_per_layer(record.layers),
        "evolution": _evolution_table(record),
        "found": _found_table(record),
        "note": captions.note,
        "figures": [(name, captions.of_figure(name)) for name in drawn],
    }
    links = {name: f"{FIGURES}/{name}.svg" for name in drawn}

    def picture(name: str, words: captions.Words) -> str:
        return markdown.picture(words, name, links)

    text = markdown.render_template("imported.md.j2", {**values, "picture": picture})
    publish_text(folder / "report.md", text)
    drawings = {name: Markup(svg) for name, svg in drawn.items()}
    page = html.render_template("imported.html.j2", {**values, "drawings": drawings})
    publish_text(folder / "report.html", page)
    write_record(record, folder / "imported.json")
    return folder / "report.html"


def _csv_texts(record: ImportedRecord) -> dict[str, str]:
    """Return the texts of CSV files by name, as those of a run where it has the same."""
    order = {layer.name: (layer.begun, layer.ended) for layer in record.order}
    return {
        "evolution": csv_text(
            "removed,split,quantity,value",
            (
                (removed, one.split, one.quantity, value)
                for one in record.series
                for removed, value in enumerate(one.values)
            ),
        ),
        "layers": csv_text(
            ",".join((*LoggedLayer.model_fields, "removed_from", "removed_to")),
            (
                (*vars(layer).values(), *order.get(layer.name, (None, None)))
                for layer in record.layers
            ),
        ),
        "found": csv_text("file,found", record.found.items()),
    }


def _draw(record: ImportedRecord) -> dict[str, str]:
    stretches = [Stretch(layer.name, layer.begun, layer.ended) for layer in record.order]
    found = {}
    with house_style():
        for quantity in ("loss", "accuracy"):
            curves = list(_curves(record, quantity))
            if curves:
                name = f"imported_{quantity}"
                plot = evolution(curves, stretches, quantity, record.turning_point)
                found[name] = to_svg(plot, name, captions.of_figure(name).alt)
        name = "nodes_per_layer"
        plot = figures.nodes_per_layer(record.layers)
        found[name] = to_svg(plot, name, captions.of_figure(name).alt)
    return found


def _curves(record: ImportedRecord, quantity: str) -> Iterator[Curve]:
    scale = 100 if quantity == "accuracy" else 1
    for split in _TEST_FIRST:
        for one in record.series:
            drawn = any(value is not None for value in one.values[1:])
            if (one.split, one.quantity) == (split, quantity) and drawn:
                values = [math.nan if v is None else scale * v for v in one.values]
                while values and math.isnan(values[-1]):
                    values.pop()
                yield Curve(split, range(len(values)), values)


def _evolution_table(record: ImportedRecord) -> Table:
    ends = [("(before pruning)", 0), *((layer.name, layer.ended) for layer in record.order)]
    return Table(
        "evolution",
        captions.of_table("imported_evolution"),
        facts.evolution_columns("Layer"),
        tuple(_evolution_row(record, name, removed) for name, removed in ends),
    )


def _evolution_row(record: ImportedRecord, layer: str, removed: int) -> Row:
    values = {(one.split, one.quantity): one.values for one in record.series}

    def cell(split: str, quantity: str, write: Callable[[float], str]) -> str:
        logged = values.get((split, quantity), [])
        found = logged[removed] if removed < len(logged) else None
        return notation.DASH if found is None else write(found)

    return (
        notation.printable(layer),
        notation.count(removed),
        *(cell(split, "loss", notation.loss) for split in _TEST_FIRST),
        *(cell(split, "accuracy", notation.percent) for split in _TEST_FIRST),
    )


def _found_table(record: ImportedRecord) -> Table:
    return Table(
        "found",
        captions.of_table("imported_found"),
        (Column("Log", is_text=True), Column("What was found", is_text=True)),
        tuple(record.found.items()),
    )
