"""The status of a run as a table, once or again and again."""

from __future__ import annotations

import json
import time
from contextlib import ExitStack

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


def status_line(status: Status) -> str:
    """Return one line of JSON."""
    return json.dumps({"stage": status.stage, **status.facts})


def watch_status(folder: RunFolder, *, as_json: bool) -> None:
    """Show the status until the run is finished, or until Ctrl-C.

    Args:
        folder: of the run.
        as_json: as a line of JSON at every look.

    Raises:
        RunFolderError, LedgerError: as `status_of`.
    """
    with ExitStack() as stack:
        live = None if as_json else stack.enter_context(Live(auto_refresh=False))
        while True:
            status = status_of(folder)
            if live is None:
                print(status_line(status), flush=True)
            else:
                live.update(status_table(status), refresh=True)
            if status.stage in (FINISHED, IMPORTED):
                return
            time.sleep(EVERY_S)
