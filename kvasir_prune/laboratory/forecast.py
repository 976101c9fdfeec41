"""How long a sweep will take: by the trials of it that are done, or by what was timed of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from kvasir_prune.laboratory.stage_times import DRAWS, times_of
from kvasir_prune.laboratory.trial import Trial
from kvasir_prune.laboratory.working import stages_until


@dataclass(frozen=True)
class Estimate:
    """Seconds that one trial will take.

    Attributes:
        network: for the network that it begins with, of which others may make use.
        own: for all that comes behind.
    """

    network: float
    own: float


@dataclass(frozen=True)
class Forecast:
    """What is left of a sweep.

    Attributes:
        seconds: for all trials of which something is known.
        unknown: how many others there are.
    """

    seconds: float
    unknown: int


def unknown_settings(done: Sequence[Trial], missing: Sequence[Trial]) -> dict[str, Trial]:
    """Return the settings of which no trial tells how long it takes, and the first trial of each.

    Args:
        done: trials that are done.
        missing: those that are not.
    """
    own, networks, trained = _known(done, missing)
    found: dict[str, Trial] = {}
    for trial in missing:
        is_known = trial.trained.path in trained or trial.group in networks
        if trial.group not in own or not is_known:
            found.setdefault(trial.group, trial)
    return found


def forecast(
    done: Sequence[Trial],
    missing: Sequence[Trial],
    workers: int,
    estimates: Mapping[str, Estimate],
) -> Forecast:
    """Return how long the trials that are not done will take.

    A trial takes as long as those of its setting did on average, or as was estimated; so does a
    network that is not trained yet. What is done of a trial under way is not counted. However many
    there are at once, it takes as long as the longest of them.

    Args:
        done: trials that are done.
        missing: those that are not.
        workers: at once.
        estimates: by the settings' names without repetitions.
    """
    own, networks, trained = _known(done, missing)
    own = {group: one.own for group, one in estimates.items()} | own
    networks = {group: one.network for group, one in estimates.items()} | networks
    known = [
        trial
        for trial in missing
        if trial.group in own and (trial.trained.path in trained or trial.group in networks)
    ]
    if not known:
        return Forecast(0.0, len(missing))
    to_train = {one.trained.path: one.group for one in known if one.trained.path not in trained}
    training = {path: networks[group] for path, group in to_train.items()}
    longest = max(own[one.group] + training.get(one.trained.path, 0.0) for one in known)
    total = sum(own[trial.group] for trial in known) + sum(training.values())
    at_once = min(workers, len(known))
    return Forecast(max(longest, total / at_once), len(missing) - len(known))


def _known(
    done: Sequence[Trial], missing: Sequence[Trial]
) -> tuple[dict[str, float], dict[str, float], set[object]]:
    """Return the mean seconds of a setting's trials, those of its networks, and what is trained."""
    all_of_them = (*done, *missing)
    return (
        _means((trial.group, _own(trial)) for trial in done),
        _means((trial.group, _network(trial)) for trial in all_of_them),
        {trial.trained.path for trial in all_of_them if trial.trained.model.exists()},
    )


def _own(trial: Trial) -> float | None:
    """Return the seconds of all stages; None where a part of them is not known."""
    times = times_of(trial.folder, whole=True)
    draws = () if trial.random_removal is None else (DRAWS,)
    if any(stage not in times for stage in (*stages_until(trial.until), *draws)):
        return None
    return sum(times.values())


def _network(trial: Trial) -> float | None:
    times = times_of(trial.trained, whole=True)
    return sum(times.values()) if "train" in times else None


def _means(found: Iterable[tuple[str, float | None]]) -> dict[str, float]:
    taken: dict[str, list[float]] = {}
    for group, seconds in found:
        if seconds is not None:
            taken.setdefault(group, []).append(seconds)
    return {group: fmean(seconds) for group, seconds in taken.items()}
