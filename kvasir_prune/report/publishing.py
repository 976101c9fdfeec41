"""Writing a report: one record, then every rendering of it."""

from __future__ import annotations

from pathlib import Path

from kvasir_prune.publish import publish_text
from kvasir_prune.report import figures, html, markdown
from kvasir_prune.report.schema import Record

FIGURES = "figures"


def write_report(record: Record, folder: Path) -> Path:
    """Publish `report.html`, `report.md`, the figures and, last, `report.json`.

    Args:
        record: what to say.
        folder: existing folder; earlier renderings in it are replaced.

    Returns:
        Path of the HTML file.
    """
    (folder / FIGURES).mkdir(exist_ok=True)
    drawn = figures.draw(record)
    for name, svg in drawn.items():
        publish_text(folder / FIGURES / f"{name}.svg", svg)
    links = {name: f"{FIGURES}/{name}.svg" for name in drawn}
    publish_text(folder / "report.md", markdown.render(record, links))
    publish_text(folder / "report.html", html.render(record, drawn))
    publish_text(folder / "report.json", record.model_dump_json(indent=2) + "\n")
    return folder / "report.html"
