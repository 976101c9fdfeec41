"""What the commands share: own the folder, mend it, and do what is missing up to a stage."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from kvasir_prune.cli.progress import RichProgress
from kvasir_prune.cli.resuming import console, farewell, own_command, say_how_to_go_on
from kvasir_prune.cli.signals import interruptible
from kvasir_prune.config import RunConfig, identity, load_config
from kvasir_prune.errors import KvasirPruneError
from kvasir_prune.experiment.folder import RunFolder
from kvasir_prune.experiment.mending import mend_files, mend_record
from kvasir_prune.experiment.run_log import logging_to
from kvasir_prune.experiment.status import FINISHED, stage_of
from kvasir_prune.ledger.identity import check

if TYPE_CHECKING:
    from kvasir_prune.experiment.context import Run


def run_until(
    stage: str,
    path: Path,
    run_dir: Path | None,
    overrides: list[str] | None,
    *,
    accept_device_change: bool = False,
    renew_report: bool = False,
) -> RunFolder:
    """Do what is missing of a run up to a stage.

    Args:
        stage: "data", "train", "importance", "prune" or "report".
        path: of the configuration.
        run_dir: of the run; None for the default.
        overrides: A.B=VALUE.
        accept_device_change: as in `Run`.
        renew_report: write the report even if it is there.

    Returns:
        The folder of the run.
    """
    config = load_config(path, overrides or ())
    folder = folder_of(config, run_dir)
    progress = RichProgress(console)
    folder.create()
    try:
        with folder.owned(), logging_to(folder.log), interruptible(farewell):
            reached = reached_stage(config, folder, progress)
            if reached == FINISHED and not renew_report:
                progress.note(f"The run is finished: {folder.path}")
            elif stage == "report" and reached in ("report", FINISHED):
                from kvasir_prune.experiment.reporting import renew

                if not renew_report:
                    _refuse_other_versions(folder)
                renew(folder, config)
            else:
                _work(stage, config, folder, progress, accept_device_change)
    except KvasirPruneError as error:
        if error.exit_code != KvasirPruneError.exit_code:
            say_how_to_go_on()
        raise
    except OSError:
        say_how_to_go_on()
        raise
    if stage == "report" and (folder.report / "report.html").exists():
        print(folder.report / "report.html")
    return folder


def _refuse_other_versions(folder: RunFolder) -> None:
    """Refuse to finish a run with other packages: its intervals are computed in its report."""
    from kvasir_prune import backend

    record = folder.read_record()
    assert record is not None
    check(record["versions"], backend.versions(), where=folder.path, kind="set of versions")


def _work(
    stage: str,
    config: RunConfig,
    folder: RunFolder,
    progress: RichProgress,
    accept_device_change: bool,
) -> None:
    run_under_way = prepared(config, folder, progress, accept_device_change)
    if stage == "data":
        return
    load_keras()
    from kvasir_prune.experiment.preparing import Stage
    from kvasir_prune.experiment.stages import run_stages

    run_stages(run_under_way, Stage(stage))


def prepared(
    config: RunConfig, folder: RunFolder, progress: RichProgress, accept_device_change: bool = False
) -> Run:
    """Return the run, with its images decoded and divided; the caller owns the folder."""
    from kvasir_prune.experiment.context import Run
    from kvasir_prune.experiment.preparing import prepare_data

    under_way = Run(
        config, folder, progress, own_command(), accept_device_change=accept_device_change
    )
    prepare_data(under_way)
    return under_way


def load_keras() -> None:
    """Load the backend, which takes seconds."""
    console.print("Starting Keras ...", style="dim")
    from kvasir_prune import backend

    backend.load()


def reached_stage(config: RunConfig, folder: RunFolder, progress: RichProgress) -> str | None:
    """Mend a run; return the stage it is in, None before it has a split.

    Another run's folder is refused.
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


def folder_of(config: RunConfig, run_dir: Path | None) -> RunFolder:
    """Return the folder that was asked for, or the default."""
    return RunFolder(run_dir or Path("checkpoints") / config.name)
