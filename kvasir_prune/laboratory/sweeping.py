"""Doing all trials of a sweep that are not done yet."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from kvasir_prune import backend
from kvasir_prune.config.sweep import Sweep
from kvasir_prune.errors import KvasirPruneError, LaboratoryError
from kvasir_prune.experiment.status import stage_of
from kvasir_prune.laboratory.sweep_folder import SweepFolder
from kvasir_prune.laboratory.tables import publish_tables, published_of
from kvasir_prune.laboratory.trial import Trial, trials_of, versions_of
from kvasir_prune.laboratory.working import is_done, work
from kvasir_prune.ledger.identity import check
from kvasir_prune.progress import Progress, Silent

Worker = Callable[[Sequence[Trial], str], Iterator[tuple[Trial, str | None]]]
"""Does trials; yields each with what was refused, None where it is done."""


@dataclass(frozen=True)
class Standing:
    """A trial and the stage it is in, None before it has begun."""

    trial: Trial
    stage: str | None

    @property
    def done(self) -> bool:
        """Whether nothing is left to do."""
        return is_done(self.trial, self.stage)


def chosen(sweep: Sweep, patterns: Sequence[str]) -> frozenset[str]:
    """Return the names of the settings that match any pattern, of all where there is none.

    Args:
        sweep: whose settings.
        patterns: as of a shell: `*` stands for anything.

    Raises:
        LaboratoryError: a pattern matches none.
    """
    names = [setting.name for setting in sweep.settings]
    for pattern in patterns:
        if not fnmatch.filter(names, pattern):
            raise LaboratoryError(
                "The sweep has no setting of that name.",
                where="--only",
                got=pattern,
                expected=", ".join(names[:10]) + (", ..." if len(names) > 10 else ""),
                fix="name one of them, or a pattern such as 'mnist*'",
            )
    found = (name for pattern in patterns or ("*",) for name in fnmatch.filter(names, pattern))
    return frozenset(found)


def standings(sweep: Sweep, folder: SweepFolder, shared: Path) -> list[Standing]:
    """Return how far every trial is; disturbs nobody who works on them."""
    return [Standing(trial, _stage(trial)) for trial in trials_of(sweep, folder.trials, shared)]


def _stage(trial: Trial) -> str | None:
    try:
        record = trial.folder.read_record()
        return None if record is None else stage_of(trial.folder, record)
    except KvasirPruneError:
        # Damaged: whoever goes on with the trial mends it, or says what is the matter.
        return "data"


def run_sweep(
    sweep: Sweep,
    folder: SweepFolder,
    shared: Path,
    *,
    progress: Progress,
    command: str,
    worker: Worker,
    only: Sequence[str] = (),
) -> dict[str, str]:
    """Do what is missing, and write the tables of all that is done at the end.

    Args:
        sweep: which.
        folder: of the sweep.
        shared: receives decoded images, trained networks and their importances, for all sweeps.
        progress: told of every trial.
        command: how it was called, for the record.
        worker: does the trials.
        only: patterns of the settings to work on; none: all.

    Returns:
        Trial -> what was refused, for those that cannot be done.

    Raises:
        RunFolderError: the folder is another sweep's, or in use; or trials are missing, and those
            that are done are of other versions.
        LaboratoryError: the published results cannot be used, or a pattern matches no setting.
        KvasirPruneError: what stops every trial: the disk, a signal.
    """
    refused: dict[str, str] = {}
    # Not only behind the last trial, hours later.
    published_of(sweep)
    asked = chosen(sweep, only)
    with folder.owned(sweep):
        found = standings(sweep, folder, shared)
        missing = [one.trial for one in found if one.trial.setting in asked and not one.done]
        if missing:
            refuse_mixtures(one.trial for one in found if one.done)
        done = {one.trial.name for one in found if one.done}
        with progress.task(f"Trials of {sweep.config.name}", len(done) + len(missing)) as task:
            task.advance(len(done))
            for trial, refusal in worker(missing, command):
                if refusal is None:
                    done.add(trial.name)
                else:
                    refused[trial.name] = refusal
                    progress.note(f"{trial.name}: {refusal}")
                task.advance(last=trial.name, refused=len(refused))
        # In the order of the sweep: workers end in any.
        finished = [one.trial for one in found if one.trial.name in done]
        publish_tables(sweep, finished, folder.tables)
    return refused


def refuse_mixtures(done: Iterable[Trial]) -> None:
    """Refuse to put trials beside those of other versions: one table would hold both.

    Raises:
        RunFolderError: a finished trial is of other versions.
    """
    now = backend.versions()
    for trial in done:
        where, kind = trial.folder.path, "set of versions"
        check(versions_of(trial.folder), now, where=where, kind=kind, option="--folder")


def one_by_one(progress: Progress | None = None) -> Worker:
    """Return what does trials in this process, one after the other."""

    def do(trials: Sequence[Trial], command: str) -> Iterator[tuple[Trial, str | None]]:
        for trial in trials:
            try:
                work(trial, progress or Silent(), command)
            except KvasirPruneError as error:
                if error.exit_code != KvasirPruneError.exit_code:
                    raise
                yield trial, str(error)
            else:
                yield trial, None

    return do
