"""What a sweep would do: its trials, and how long they will take."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from kvasir_prune.cli.progress import RichProgress
from kvasir_prune.cli.resuming import console
from kvasir_prune.errors import KvasirPruneError
from kvasir_prune.progress import duration

if TYPE_CHECKING:
    from kvasir_prune.laboratory.sweeping import Standing
    from kvasir_prune.laboratory.trial import Trial


def show(trials: Sequence[Standing], workers: int) -> None:
    """Print the trials and how far they are, then what they will take; do none of them.

    Args:
        trials: seed by seed.
        workers: at once.
    """
    from kvasir_prune.laboratory.forecast import seconds_left

    Console().print(_table(trials))
    done = [one.trial for one in trials if one.done]
    missing = [one.trial for one in trials if not one.done]
    networks = len({one.trial.trained.path for one in trials})
    print(f"{len(trials)} trials, {len(done)} done; they share {networks} trained networks.")
    if not missing:
        return
    basis = "those that are done"
    left = seconds_left(done, missing, workers)
    if left is None:
        basis = "some steps and nodes that were timed here, within about a factor of 2"
        left = seconds_left(done, missing, workers, _estimates(missing))
    if left is None:
        print("How long they take could not be timed, for the reasons above.")
    else:
        at_once = "one at a time" if workers == 1 else f"{workers} at a time"
        print(f"About {duration(left)} left, {at_once}, by {basis}.")


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


def _estimates(missing: Sequence[Trial]) -> dict[str, tuple[float, float]]:
    """Time the first trial of every setting; leave out those that are refused, and say why."""
    from kvasir_prune.laboratory.estimate import estimate

    progress, found = RichProgress(console), dict[str, tuple[float, float]]()
    first = {trial.group: trial for trial in reversed(missing)}
    with progress.task("Timing a trial of each setting", len(first)) as task:
        for group, trial in reversed(first.items()):
            try:
                found[group] = estimate(trial)
            except KvasirPruneError as error:
                progress.note(f"{group}: {error}")
            task.advance(setting=group)
    return found
