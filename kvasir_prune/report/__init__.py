"""Ledger, importances and logits -> record -> figures -> HTML, Markdown, JSON; without Keras.

In a notebook::

    from IPython.display import SVG
    from kvasir_prune import report

    record = report.read("checkpoints/demo")
    SVG(report.draw(record)["evolution_loss_all"])
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kvasir_prune.report.schema import Record

__all__ = ["draw", "read"]


def read(run_folder: str | Path) -> Record:
    """Return the record of a finished run, its `report/report.json`.

    Raises:
        RunFolderError: there is none, or one of another version.
    """
    from kvasir_prune.report.schema import read_record

    return read_record(Path(run_folder) / "report" / "report.json")


def draw(record: Record) -> dict[str, str]:
    """Return the figures of a report as SVG texts by name; see `figures.draw`."""
    from kvasir_prune.report import figures

    return figures.draw(record)
