"""What the commands share: own the folder, mend it, and do what is missing up to a stage."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import typer

from kvasir_prune.cli.progress import RichProgress
from kvasir_prune.cli.resuming import console, farewell, own_command, telling_how_to_go_on
from kvasir_prune.cli.signals import interruptible
from kvasir_prune.config import RunConfig, load_config
from kvasir_prune.experiment.folder import RunFolder
from kvasir_prune.experiment.going_on import prepared, reached_stage, refuse_other_versions
from kvasir_prune.experiment.run_log import logging_to
from kvasir_prune.experiment.status import FINISHED


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
    with (
        telling_how_to_go_on(),
        folder.owned(),
        logging_to(folder.log),
        interruptible(farewell),
    ):
        reached = reached_stage(config, folder, progress)
        if reached == FINISHED and not renew_report:
            progress.note(f"The run is finished: {folder.path}")
        elif stage == "report" and reached in ("report", FINISHED):
            from kvasir_prune.experiment.reporting import renew

            if not renew_report:
                refuse_other_versions(folder)
            renew(folder, config)
        else:
            _work(stage, config, folder, progress, accept_device_change)
    if stage == "report" and (folder.report / "report.html").exists():
        print(folder.report / "report.html")
    return folder


def _work(
    stage: str,
    config: RunConfig,
    folder: RunFolder,
    progress: RichProgress,
    accept_device_change: bool,
) -> None:
    run_under_way = prepared(
        config, folder, progress, own_command(), accept_device_change=accept_device_change
    )
    if stage == "data":
        return
    load_keras()
    from kvasir_prune.experiment.preparing import Stage
    from kvasir_prune.experiment.stages import run_stages

    run_stages(run_under_way, Stage(stage))


def load_keras() -> None:
    """Load the backend, which takes seconds."""
    console.print("Starting Keras ...", style="dim")
    from kvasir_prune import backend

    backend.load()


def folder_of(config: RunConfig, run_dir: Path | None) -> RunFolder:
    """Return the folder that was asked for, or the default."""
    return RunFolder(run_dir or Path("checkpoints") / config.name)


def refuse_ignored(options: Mapping[str, object], why: str) -> None:
    """Refuse options that would be ignored here.

    Args:
        options: name -> value; those without a value were not given.
        why: what is said of the first that was.

    Raises:
        typer.BadParameter: one was given.
    """
    for name, value in options.items():
        if value:
            raise typer.BadParameter(why, param_hint=name)
