"""Doing one trial, in this process: its network is trained once for all that can share it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from kvasir_prune import backend
from kvasir_prune.config import RunConfig
from kvasir_prune.experiment.adopting import adopt_training
from kvasir_prune.experiment.context import Run
from kvasir_prune.experiment.folder import RunFolder
from kvasir_prune.experiment.going_on import reached_stage
from kvasir_prune.experiment.run_log import logging_to
from kvasir_prune.experiment.status import FINISHED
from kvasir_prune.laboratory.draw_store import store_of
from kvasir_prune.laboratory.random_removal import remove_at_random
from kvasir_prune.laboratory.shared_importance import IMPORTANCE, measured_once
from kvasir_prune.laboratory.stage_times import DATA, DRAWS, StageTimes
from kvasir_prune.laboratory.trial import Trial, training_config
from kvasir_prune.ledger.identity import origin
from kvasir_prune.locking import locked
from kvasir_prune.progress import Progress

STAGES = ("data", "train", "importance", "prune", "evaluate", "report", FINISHED)


def work(trial: Trial, progress: Progress, command: str) -> None:
    """Do what is missing of a trial.

    Args:
        trial: which.
        progress: told of every stage.
        command: how the sweep was called, for the record.

    Raises:
        KvasirPruneError: as a run does.
    """
    with _owned(trial.folder):
        reached = reached_stage(trial.config, trial.folder, progress)
        if is_done(trial, reached):
            return
    if not is_beyond(reached, "train"):
        _train(trial, progress, command)
    with _owned(trial.folder):
        _go_on(trial.config, trial.folder, trial.until, progress, command, trial=trial)


def is_done(trial: Trial, reached: str | None) -> bool:
    """Return whether nothing is left to do for a trial whose run is in stage `reached`."""
    asked, record = trial.random_removal, trial.folder.read_record()
    if record is None or not is_beyond(reached, trial.until):
        return False
    return asked is None or not store_of(trial.folder, asked, origin(record)).missing(asked)


def is_beyond(reached: str | None, until: str) -> bool:
    """Return whether the stage `reached` comes behind the stage `until`."""
    return reached is not None and STAGES.index(reached) > STAGES.index(until)


def stages_until(until: str) -> tuple[str, ...]:
    """Return the stages of a trial behind its images, in order."""
    return STAGES[1 : STAGES.index(until) + 1]


def _train(trial: Trial, progress: Progress, command: str) -> None:
    """Train the network that the trial begins with, unless another one has, or is at it."""
    folder, config = trial.trained, training_config(trial.config)
    folder.path.parent.mkdir(parents=True, exist_ok=True)
    with locked(_beside(folder.path)), _owned(folder):
        if not is_beyond(reached_stage(config, folder, progress), "train"):
            _go_on(config, folder, "train", progress, command)


def _go_on(
    config: RunConfig,
    folder: RunFolder,
    until: str,
    progress: Progress,
    command: str,
    *,
    trial: Trial | None = None,
) -> None:
    # First of all: it sets the environment back to the trial's, which the backend reads once.
    run = Run(config, folder, progress, command)
    backend.load()
    from kvasir_prune.experiment.preparing import Stage, prepare_data
    from kvasir_prune.experiment.stages import run_stages

    times = StageTimes(folder, (DATA, *stages_until(until), DRAWS))
    with times.timing(DATA):
        if trial is not None:
            adopt_training(run, trial.trained)
        prepare_data(run)
    run_stages(run, Stage(until), around=partial(_around, run, times, trial))
    if trial is not None and trial.random_removal is not None:
        with times.timing(DRAWS):
            remove_at_random(run, trial.random_removal)
    times.end()
    backend.forget_networks()


@contextmanager
def _around(run: Run, times: StageTimes, trial: Trial | None, stage: str) -> Iterator[None]:
    """Take the time of a stage; measure importances once for all trials."""
    if stage != IMPORTANCE or trial is None:
        with times.timing(stage):
            yield
        return
    with measured_once(run, trial.measured) as adopted:
        with times.timing(stage):
            yield
        if adopted is not None:
            times.is_of_others(stage, adopted.seconds)
    # What it has compiled and kept would spare some trials what others pay for in pruning.
    run.release_scorer()


@contextmanager
def _owned(folder: RunFolder) -> Iterator[None]:
    folder.create()
    with folder.owned(), logging_to(folder.log):
        yield


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.name}.lock")
