"""The checks of the images: made once, before anyone trains, and kept for the report."""

from __future__ import annotations

import json

from kvasir_prune.config.data import FolderData
from kvasir_prune.data.check import check
from kvasir_prune.data.findings import DataCheck
from kvasir_prune.data.listing import Listing
from kvasir_prune.experiment.context import Run
from kvasir_prune.publish import publish_text


def check_data(run: Run) -> DataCheck:
    """Return the checks of the run's images; publish `data_check.json` if it is not there."""
    folder = run.folder
    if run.has(folder.data_check):
        return DataCheck.model_validate_json(folder.data_check.read_text(encoding="utf-8"))
    facts = json.loads(folder.data.read_text(encoding="utf-8"))
    found = check(
        run.dataset,
        Listing.read(folder.split),
        len(facts["skipped"]),
        photographs=isinstance(run.config.data, FolderData),
        progress=run.progress,
    )
    publish_text(folder.data_check, found.model_dump_json(indent=2) + "\n")
    run.seal(folder.data_check)
    return found
