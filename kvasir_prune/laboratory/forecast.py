"""How long a sweep will take, by the trials of it that are done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean

from kvasir_prune.laboratory.stage_times import times_of
from kvasir_prune.laboratory.trial import Trial

TRAIN = "train"
"""The stage that trials share."""


def seconds_left(done: Sequence[Trial], missing: Sequence[Trial], workers: int) -> float | None:
    """Return how long the trials that are not done will take, in seconds.

    A trial takes as long as those of its setting did on average, of another setting where there is
    none; a network that is not trained yet, as long as the others took to train. What is done of a
    trial under way is not counted.

    Args:
        done: trials that are done.
        missing: those that are not.
        workers: at once.

    Returns:
        None where no trial is done, or no network is trained and some are missing.
    """
    own: dict[str, list[float]] = {}
    for trial in done:
        own.setdefault(trial.setting, []).append(sum(times_of(trial.folder).values()))
    networks = {trial.trained.path: times_of(trial.trained) for trial in (*done, *missing)}
    trained = [times[TRAIN] for times in networks.values() if TRAIN in times]
    to_train = {t.trained.path for t in missing if TRAIN not in networks[t.trained.path]}
    if not own or (to_train and not trained):
        return None
    trials = sum(_typical(own, trial.setting) for trial in missing)
    return (trials + len(to_train) * (fmean(trained) if trained else 0.0)) / workers


def _typical(own: Mapping[str, Sequence[float]], setting: str) -> float:
    known = own.get(setting) or [seconds for spent in own.values() for seconds in spent]
    return fmean(known)
