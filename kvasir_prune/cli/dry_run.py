"""What a sweep would do: its trials, and how long they will take."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from kvasir_prune.cli.progress import RichProgress
from kvasir_prune.cli.resuming import console
from kvasir_prune.cli.signals import interruptible
from kvasir_prune.errors import KvasirPruneError
from kvasir_prune.progress import duration

if TYPE_CHECKING:
    from kvasir_prune.laboratory.forecast import Estimate
    from kvasir_prune.laboratory.sweeping import Standing
    from kvasir_prune.laboratory.trial import Trial


def show(sweep: Sequence[Standing], asked: Collection[str], workers: int | None) -> None:
    """Print the trials and how far they are, then what they will take; do none of them.

    Args:
        sweep: all of its trials, seed by seed.
        asked: the settings that are to be worked on.
        workers: at once; None where a cluster decides that.

    Raises:
        RunFolderError: trials are missing, and those that are done are of other versions.
    """
    from kvasir_prune.laboratory.forecast import Forecaster
    from kvasir_prune.laboratory.sweeping import refuse_mixtures

    trials = [one for one in sweep if one.trial.setting in asked]
    Console().print(_table(trials))
    done = [one.trial for one in trials if one.done]
    missing = [one.trial for one in trials if not one.done]
    networks = len({one.trial.trained.path for one in trials})
    print(f"{len(trials)} trials, {len(done)} done; they share {networks} trained networks.")
    if not missing:
        return
    refuse_mixtures(one.trial for one in sweep if one.done)
    forecaster = Forecaster(done, missing)
    unknown = forecaster.unknown_settings()
    estimates = _estimates(unknown)
    forecaster.add(estimates)
    found = forecaster.forecast(workers or 1)
    if found.unknown < len(missing):
        at_once = f"{workers} at a time" if workers and workers > 1 else "one at a time"
        print(f"About {duration(found.seconds)} left, {at_once}, {_basis(done, estimates)}.")
    if found.unknown:
        print(
            f"Not counted: {found.unknown} of {len(missing)} trials, which could not be timed "
            "for the reasons above."
        )
    for sentence in _left_out(unknown.values(), workers):
        print(sentence)


def _basis(done: Sequence[Trial], estimates: Mapping[str, Estimate]) -> str:
    if not estimates:
        return "by the trials that are done"
    timed = "by what was timed of their first seconds"
    return f"{timed} and by the trials that are done" if done else timed


def _left_out(timed: Collection[Trial], workers: int | None) -> Iterator[str]:
    if any(trial.config.training.rerandomisation for trial in timed):
        yield "Not counted: the drawing of initial weights, as often as it will need."
    if any(trial.until == "report" for trial in timed):
        yield "Not counted: the reports."
    if workers is None:
        yield "How many trials there are at once the cluster decides."


def _table(trials: Sequence[Standing]) -> Table:
    table = Table(box=None)
    for head in ("setting", "trials", "done", "begun", "seeds"):
        table.add_column(head, justify="left" if head in ("setting", "seeds") else "right")
    by_setting: dict[str, list[Standing]] = {}
    for one in trials:
        by_setting.setdefault(one.trial.setting, []).append(one)
    for setting, own in by_setting.items():
        counts = Counter("done" if one.done else "begun" if one.stage else "" for one in own)
        seeds = _ranges([one.trial.config.seed for one in own])
        table.add_row(setting, str(len(own)), str(counts["done"]), str(counts["begun"]), seeds)
    return table


def _ranges(numbers: Sequence[int]) -> str:
    """Return numbers with neighbours drawn together: "0-4, 7"."""
    ends = list[list[int]]()
    for number in numbers:
        if ends and number == ends[-1][-1] + 1:
            ends[-1][-1] = number
        else:
            ends.append([number, number])
    return ", ".join(str(low) if low == high else f"{low}-{high}" for low, high in ends)


def _estimates(unknown: Mapping[str, Trial]) -> dict[str, Estimate]:
    """Time a trial of every setting; leave out those that are refused, and say why."""
    if not unknown:
        return {}
    from kvasir_prune.laboratory.estimate import estimate

    progress = RichProgress(console)
    found: dict[str, Estimate] = {}
    with (
        interruptible(lambda _interrupted: None),
        tempfile.TemporaryDirectory(prefix="kvasir-prune-") as place,
        progress.task("Timing a trial of each setting", len(unknown)) as task,
    ):
        for group, trial in unknown.items():
            try:
                found[group] = estimate(trial, Path(place))
            except KvasirPruneError as error:
                if error.exit_code != KvasirPruneError.exit_code:
                    raise
                progress.note(f"{group}: {error}")
            task.advance(setting=group)
    return found
