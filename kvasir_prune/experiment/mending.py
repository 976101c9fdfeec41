"""What becomes of a run's damaged files when it goes on.

Records go back to the commit before the last. What was made from the ledger is made again. Anything
else is refused: another split or network may be somebody's wish, which is a matter for a new run
folder. A damaged file is kept beside the new one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from kvasir_prune.data.findings import DataCheck
from kvasir_prune.errors import LedgerError
from kvasir_prune.experiment.folder import RunFolder
from kvasir_prune.ledger import run_record
from kvasir_prune.ledger.hdf5_file import check_seal
from kvasir_prune.ledger.recovery import go_back, is_damaged, needs_the_commit_before, set_aside

FROM_IMAGES = (
    "restore the file from a copy, or delete split.csv and data.json: they are made again from the "
    "images, and must come out as they were"
)
FROM_TRAINING = (
    "restore the file from a copy, or delete model.keras and training/history.csv: the training "
    "makes them again, from its checkpoint if that is there, and must come to the same weights"
)


def mend_record(folder: RunFolder) -> Iterator[str]:
    """Go back to the `run.json` before the last if the last is damaged or gone; the owner only.

    What is finished since is then done again, to the same result.

    Yields:
        A sentence for what was done.

    Raises:
        RunFolderError: it is damaged, and so is the one before, or there is none.
    """
    if needs_the_commit_before(folder.record, run_record.check):
        yield go_back(folder.record)


def mend_files(folder: RunFolder, record: Mapping[str, Any]) -> Iterator[str]:
    """Mend every other damaged file of a run; the owner only.

    Args:
        folder: of the run.
        record: its `run.json`.

    Yields:
        A sentence for every file.

    Raises:
        LedgerError: naming a file that can neither go back nor be made again.
    """
    for paths, mended_by in (
        ((folder.data, folder.split), FROM_IMAGES),
        ((folder.history, folder.model), FROM_TRAINING),
    ):
        for path in paths:
            if run_record.is_finished(record, path):
                run_record.check_file(record, path, mended_by=mended_by)
    record = _forget_what_is_gone(folder, record)
    if needs_the_commit_before(folder.importance, check_seal):
        yield go_back(folder.importance)
    if needs_the_commit_before(folder.ledger, check_seal):
        # First what was made from it: killed in between, it must not look up to date.
        record = folder.forget(record, *folder.made_from_ledger)
        yield go_back(folder.ledger)
    whole = folder.data_check.exists() and not _is_other(record, folder.data_check)
    if whole and _is_of_another_version(folder.data_check):
        yield "The images were checked by another version: they are checked anew"
        record = folder.forget(record, folder.data_check, *folder.report_files)
    under_way = (folder.drawn_weights, folder.partial_logits)
    sealed = (folder.evaluation, folder.thumbnails, *under_way)
    for path in (folder.data_check, folder.pruned, folder.cost, folder.latency, *sealed):
        if _is_other(record, path) or (path in sealed and is_damaged(path, check_seal)):
            kept = set_aside(path).name
            yield f"{path.name} is damaged, or was changed, and kept as {kept}: it is made again"
            record = folder.forget(record, path)
    for path in folder.report_files:
        if _is_other(record, path):
            yield f"{path.name} is damaged, or was changed: `kvasir-prune report` writes it anew"


def _is_of_another_version(path: Path) -> bool:
    """Return whether checks of the images have another shape than this version's."""
    try:
        DataCheck.model_validate_json(path.read_bytes())
    except ValidationError:
        return True
    return False


def _forget_what_is_gone(folder: RunFolder, record: Mapping[str, Any]) -> dict[str, Any]:
    """Forget digests of missing files: killed while one is made again, it would be refused."""
    gone = {path for path in folder.finished_files if _is_gone(record, path)}
    if folder.history in gone and folder.model not in gone:
        if not folder.checkpoint.exists():
            raise LedgerError(
                "The history of the training is gone, and so is its checkpoint.",
                where=folder.history,
                fix="restore one of them from a copy, or delete model.keras to train again",
            )
        gone.add(folder.model)
    if gone & set(folder.report_files):
        gone.update(folder.report_files)
    return folder.forget(record, *gone)


def _is_gone(record: Mapping[str, Any], path: Path) -> bool:
    """Return whether a file was finished and is not there."""
    return path.name in record["files"] and not path.exists()


def _is_other(record: Mapping[str, Any], path: Path) -> bool:
    """Return whether a finished file is no longer what was recorded."""
    return run_record.is_finished(record, path) and is_damaged(
        path, partial(run_record.check_file, record)
    )
