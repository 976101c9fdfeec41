"""The checks of the images as a table for the terminal."""

from __future__ import annotations

from pydantic import ValidationError
from rich.markup import escape
from rich.table import Table

from kvasir_prune.data.findings import DataCheck
from kvasir_prune.errors import RunFolderError
from kvasir_prune.experiment.folder import RunFolder

_STYLES = {"passed": "green", "warning": "yellow", "failed": "bold red", "not assessed": "dim"}


def findings_table(folder: RunFolder) -> Table:
    """Return what the checks of a run's images found.

    Raises:
        RunFolderError: the run is of a version that made no checks.
    """
    try:
        found = DataCheck.model_validate_json(folder.data_check.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValidationError):
        raise RunFolderError(
            "The images of this run were not checked by this version.",
            where=folder.path,
            got="a run that was finished by an earlier version",
            fix="check them in a new folder: kvasir-prune data CONFIG --check --run-dir NEW",
        ) from None
    table = Table(title="Checks of the images", show_lines=True)
    for head in ("Outcome", "Check", "What was found"):
        table.add_column(head)
    for one in found.findings:
        table.add_row(
            f"[{_STYLES[one.outcome]}]{one.outcome}[/]",
            f"{one.title}\n[dim]{one.code}, {one.severity}[/]",
            escape(one.sentence),
        )
    return table
