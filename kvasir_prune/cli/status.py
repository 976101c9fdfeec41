"""The status of a run as a table, once or again and again."""

from __future__ import annotations

import time

from rich.console import Console
from rich.live import Live
from rich.table import Table

from kvasir_prune.experiment.folder import RunFolder
from kvasir_prune.experiment.status import FINISHED, IMPORTED, Status, status_of

EVERY_S = 2.0


def status_table(status: Status) -> Table:
    """Return two columns, what and how much."""
    table = Table(show_header=False, box=None)
    for label, words in status.lines().items():
        table.add_row(label, words)
    return table


def watch_status(folder: RunFolder) -> None:
    """Show the status until the run is finished, or until Ctrl-C.

    Raises:
        RunFolderError, LedgerError: as `status_of`.
    """
    with Live(console=Console(), auto_refresh=False) as live:
        while True:
            status = status_of(folder)
            live.update(status_table(status), refresh=True)
            if status.stage in (FINISHED, IMPORTED):
                return
            time.sleep(EVERY_S)
