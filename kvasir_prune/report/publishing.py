"""Writing a report: one record, then every rendering of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from kvasir_prune.publish import publish_text
from kvasir_prune.report import figures, html, markdown
from kvasir_prune.report.csv_tables import csv_tables
from kvasir_prune.report.schema import Record

FIGURES, TABLES = "figures", "tables"


def write_report(record: Record, folder: Path, pictures: Mapping[str, bytes]) -> Path:
    """Publish `report.html`, `report.md`, figures, CSV tables and, last, `report.json`.

    Args:
        record: what to say.
        folder: existing folder; earlier renderings in it are replaced.
        pictures: small JPEG files by the paths of their images, for the gallery.

    Returns:
        Path of the HTML file.
    """
    for name in (FIGURES, TABLES):
        (folder / name).mkdir(exist_ok=True)
    drawn = figures.draw(record)
    for name, svg in drawn.items():
        publish_text(folder / FIGURES / f"{name}.svg", svg)
    for name, text in csv_tables(record).items():
        publish_text(folder / TABLES / f"{name}.csv", text)
    links = {name: f"{FIGURES}/{name}.svg" for name in drawn}
    publish_text(folder / "report.md", markdown.render(record, links))
    publish_text(folder / "report.html", html.render(record, drawn, pictures))
    publish_text(folder / "report.json", record.model_dump_json(indent=2) + "\n")
    return folder / "report.html"
