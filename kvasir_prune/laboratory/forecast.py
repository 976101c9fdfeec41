"""How long a sweep will take: by the trials of it that are done, or by what was timed of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean

from kvasir_prune.laboratory.stage_times import times_of
from kvasir_prune.laboratory.trial import Trial

TRAIN = "train"
"""The stage that trials share."""
Estimates = Mapping[str, tuple[float, float]]
"""Setting without repetitions -> seconds predicted for a network, and for what is done with it."""


def seconds_left(
    done: Sequence[Trial],
    missing: Sequence[Trial],
    workers: int,
    estimates: Estimates | None = None,
) -> float | None:
    """Return how long the trials that are not done will take, in seconds.

    A trial takes as long as those of its setting did on average; where there is none, as it was
    estimated to; or else as those of the other settings did. So does a network that is not trained
    yet. What is done of a trial under way is not counted.

    Args:
        done: trials that are done.
        missing: those that are not.
        workers: at once.
        estimates: of settings of which nothing is done.

    Returns:
        None where nothing is known of a trial, or of a network.
    """
    estimates = estimates or {}
    groups = {trial.trained.path: trial.group for trial in (*missing, *done)}
    trained = {t.trained.path: times_of(t.trained).get(TRAIN) for t in (*missing, *done)}
    networks = _typical(
        ((groups[path], seconds) for path, seconds in trained.items() if seconds is not None),
        {group: network for group, (network, _) in estimates.items()},
    )
    trials = _typical(
        ((trial.group, sum(times_of(trial.folder).values())) for trial in done),
        {group: own for group, (_, own) in estimates.items()},
    )
    to_train = {t.trained.path for t in missing if trained[t.trained.path] is None}
    needed = [trials.get(trial.group, trials.get("")) for trial in missing]
    needed += [networks.get(groups[path], networks.get("")) for path in to_train]
    known = [seconds for seconds in needed if seconds is not None]
    return sum(known) / workers if len(known) == len(needed) else None


def _typical(
    found: Iterable[tuple[str, float]], estimated: Mapping[str, float]
) -> dict[str, float]:
    """Return group -> seconds, and under "" the mean of all that were found."""
    taken: dict[str, list[float]] = {}
    for group, seconds in found:
        taken.setdefault(group, []).append(seconds)
        taken.setdefault("", []).append(seconds)
    return {**estimated, **{group: fmean(seconds) for group, seconds in taken.items()}}
