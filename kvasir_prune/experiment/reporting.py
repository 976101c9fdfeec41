"""The report stage: which files of a run folder a report is made of, and where it goes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from kvasir_prune import environment
from kvasir_prune.config import RunConfig, load_config, sealed, with_threads
from kvasir_prune.errors import ConfigError, LedgerError, RunFolderError
from kvasir_prune.evaluation import thumbnails
from kvasir_prune.experiment.folder import RunFolder
from kvasir_prune.ledger import run_record
from kvasir_prune.ledger.identity import origin
from kvasir_prune.publish import publish_text, sweep_partials
from kvasir_prune.report.publishing import write_report
from kvasir_prune.report.record import Sources, build_record
from kvasir_prune.report.runs import RUNS_FILES, write_runs
from kvasir_prune.report.side_by_side import ReportedRun, side_by_side

if TYPE_CHECKING:
    from kvasir_prune.experiment.context import Run


def report(folder: RunFolder, config: RunConfig | None = None) -> Path:
    """Write the report of a run that is evaluated; needs neither Keras nor the images.

    Args:
        folder: of the run.
        config: whose name, description and `report` section are to become the run's own; None for
            those that it has.

    Returns:
        Path of the HTML file.

    Raises:
        RunFolderError: a file of the run is missing.
        LedgerError: one is damaged.
    """
    sources = Sources(
        run=folder.record,
        data=folder.data,
        history=folder.history,
        importance=folder.importance,
        ledger=folder.ledger,
        evaluation=folder.evaluation,
        cost=folder.cost,
        split=folder.split,
        data_check=folder.data_check,
        latency=folder.latency,
        log=folder.log,
    )
    own = load_config(folder.config) if config is None else config
    with environment.repeatable_sums():
        record = build_record(sources, own)
    if config is not None:
        publish_text(folder.config, sealed(config))
    if kept := folder.read_record():
        # Killed while the report is written, the run is one without a report, and goes on.
        folder.forget(kept, *folder.report_files)
    folder.report.mkdir(exist_ok=True)
    written = write_report(record, folder.report, _pictures(folder))
    if kept := folder.read_record():
        folder.write_record(run_record.sealed(kept, *folder.report_files))
    return written


def _pictures(folder: RunFolder) -> dict[str, bytes]:
    """Return the pictures of this run's evaluation; none where there are none, or others'."""
    try:
        pictures, made_by = thumbnails.read(folder.thumbnails)
    except (LedgerError, FileNotFoundError):
        return {}
    kept = folder.read_record()
    return pictures if kept and made_by == origin(kept) else {}


def renew(folder: RunFolder, config: RunConfig) -> Path:
    """Write the report of a finished run anew, with the configuration's present words.

    Returns, raises:
        As `report`.
    """
    words = {
        "name": config.name,
        "description": config.description,
        "report": config.report,
    }
    try:
        stored = load_config(folder.config)
    except ConfigError:
        # Damaged; what matters of it is the same, or the folder would have been refused.
        kept = folder.read_record()
        stored = config if kept is None else with_threads(config, kept["threads"])
    return report(folder, stored.model_copy(update=words))


def compare_runs(folders: Sequence[RunFolder], output: Path) -> Path:
    """Write several finished runs side by side; needs neither Keras nor the images.

    Args:
        folders: two or more; the others are compared with the first.
        output: new or empty folder for the files of `RUNS_FILES`, or one that holds an earlier
            comparison.

    Returns:
        Path of the HTML file.

    Raises:
        RunFolderError: a run has no report, or the output folder holds something else.
        LedgerError: a file is damaged.
    """
    with environment.repeatable_sums():
        found = side_by_side([_reported(folder) for folder in folders])
    output.mkdir(parents=True, exist_ok=True)
    sweep_partials(output)
    foreign = [path.name for path in output.iterdir() if path.name not in RUNS_FILES]
    if foreign:
        raise RunFolderError(
            "The folder for the comparison holds other files.",
            where=output,
            got=", ".join(sorted(foreign)[:5]),
            expected="a new or empty folder",
            fix="give another one with --output",
        )
    return write_runs(found, output)


def _reported(folder: RunFolder) -> ReportedRun:
    """Return the files of a run that has its report, once they are found to be its own."""
    record, written = folder.read_record(), folder.report_files[-1]
    if record is None or not run_record.is_finished(record, written):
        raise RunFolderError(
            "The run has no report.",
            where=written,
            expected="a run that is finished",
            fix="finish it with `kvasir-prune run`",
        )
    for path in (written, folder.split):
        run_record.check_file(record, path)
    return ReportedRun(str(folder.path), written, folder.evaluation, folder.split, origin(record))


def write_report_of(run: Run) -> None:
    """Write the report of a run."""
    with run.progress.task("Report", None):
        report(run.folder)
