"""Going on with a run wherever it stands: mend its folder, then prepare its images."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kvasir_prune.config import RunConfig, identity
from kvasir_prune.experiment.folder import RunFolder
from kvasir_prune.experiment.mending import mend_files, mend_record
from kvasir_prune.experiment.status import stage_of
from kvasir_prune.ledger.identity import check
from kvasir_prune.progress import Progress

if TYPE_CHECKING:
    from kvasir_prune.experiment.context import Run


def reached_stage(config: RunConfig, folder: RunFolder, progress: Progress) -> str | None:
    """Mend a run; return the stage it is in, None before it has a split.

    Args:
        config: of the run.
        folder: owned by the caller.
        progress: told of what was mended.

    Raises:
        RunFolderError: the folder is another run's.
        LedgerError: a file is damaged and cannot be made again.
    """
    for sentence in mend_record(folder):
        progress.note(sentence)
    record = folder.read_record()
    if record is None or not folder.has_begun(record):
        return None
    check(record["identity"], identity(config), where=folder.path, kind="configuration")
    for sentence in mend_files(folder, record):
        progress.note(sentence)
    return stage_of(folder, folder.read_record() or record)


def prepared(
    config: RunConfig,
    folder: RunFolder,
    progress: Progress,
    command: str,
    *,
    accept_device_change: bool = False,
) -> Run:
    """Return the run, with its images decoded and divided; the caller owns the folder.

    Args, raises:
        As `Run`.
    """
    from kvasir_prune.experiment.context import Run
    from kvasir_prune.experiment.preparing import prepare_data

    under_way = Run(config, folder, progress, command, accept_device_change=accept_device_change)
    prepare_data(under_way)
    return under_way


def refuse_other_versions(folder: RunFolder) -> None:
    """Refuse to finish a run with other packages: its intervals are computed in its report.

    Raises:
        RunFolderError: naming every package that has another version.
    """
    from kvasir_prune import backend

    record = folder.read_record()
    assert record is not None
    check(record["versions"], backend.versions(), where=folder.path, kind="set of versions")
