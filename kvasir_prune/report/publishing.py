"""Writing a report: one record, then every rendering of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from kvasir_prune.publish import publish_text, sweep_partials
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
    sweep_partials(folder)
    drawn = figures.draw(record)
    publish_all(folder / FIGURES, {f"{name}.svg": svg for name, svg in drawn.items()})
    tables = csv_tables(record).items()
    publish_all(folder / TABLES, {f"{name}.csv": text for name, text in tables})
    links = {name: f"{FIGURES}/{name}.svg" for name in drawn}
    publish_text(folder / "report.md", markdown.render(record, links))
    publish_text(folder / "report.html", html.render(record, drawn, pictures))
    publish_text(folder / "report.json", record.model_dump_json(indent=2) + "\n")
    return folder / "report.html"


def publish_all(folder: Path, texts: Mapping[str, str]) -> None:
    """Publish files and delete those of an earlier report that this one does not have."""
    folder.mkdir(exist_ok=True)
    sweep_partials(folder)
    for name, text in texts.items():
        publish_text(folder / name, text)
    suffixes = {Path(name).suffix for name in texts}
    for path in folder.iterdir():
        if path.suffix in suffixes and path.name not in texts:
            path.unlink()
