"""How long a sweep will take: by the trials of it that are done, or by what was timed of them."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from kvasir_prune.laboratory.shared_importance import IMPORTANCE, is_measured
from kvasir_prune.laboratory.stage_times import DRAWS, times_of
from kvasir_prune.laboratory.trial import Trial
from kvasir_prune.laboratory.working import is_beyond, stages_until


@dataclass(frozen=True)
class Estimate:
    """Seconds that one trial will take.

    Attributes:
        network: for the network that it begins with, of which others may make use.
        importance: of that network's nodes, likewise.
        own: for all the rest.
    """

    network: float
    importance: float
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


class Forecaster:
    """Knows what the trials of a sweep took that are done, and the networks that are trained.

    Args:
        done: trials that are done.
        missing: those that are not.
    """

    def __init__(self, done: Sequence[Trial], missing: Sequence[Trial]) -> None:
        everything = (*done, *missing)
        self._missing = missing
        self._own = _means((trial.group, _own(trial)) for trial in done)
        self._networks = _means((trial.group, _network(trial)) for trial in everything)
        self._importances = _means((trial.group, _importance(trial)) for trial in done)
        self._trained = {one.trained.path for one in everything if one.trained.model.exists()}
        self._measured = {one.measured for one in everything if is_measured(one.measured)}

    def unknown_settings(self) -> dict[str, Trial]:
        """Return the settings of which no trial tells how long it takes, and the first of each."""
        found: dict[str, Trial] = {}
        for trial in self._missing:
            if not self._is_known(trial):
                found.setdefault(trial.group, trial)
        return found

    def add(self, estimates: Mapping[str, Estimate]) -> None:
        """Take estimates for what is not known, by the settings' names without repetitions."""
        for known, part in (
            (self._networks, "network"),
            (self._importances, "importance"),
            (self._own, "own"),
        ):
            for group, estimate in estimates.items():
                known.setdefault(group, getattr(estimate, part))

    def forecast(self, workers: int) -> Forecast:
        """Return how long the trials that are not done will take, so many at once.

        A trial takes as long as those of its setting did on average, or as was estimated; so does
        a network that is not trained yet, and the measuring of its importances. What is done of a
        trial under way is not counted. However many there are at once, it takes as long as the
        longest of them.
        """
        known = [trial for trial in self._missing if self._is_known(trial)]
        if not known:
            return Forecast(0.0, len(self._missing))
        own = [self._own[trial.group] for trial in known]
        shared = [self._shared(trial) for trial in known]
        longest = max(
            seconds + sum(parts.values()) for seconds, parts in zip(own, shared, strict=True)
        )
        total = sum(own) + sum(dict(ChainMap(*shared)).values())
        at_once = min(workers, len(known))
        return Forecast(max(longest, total / at_once), len(self._missing) - len(known))

    def _shared(self, trial: Trial) -> dict[Path, float]:
        """Return the seconds of what is missing and made once for all trials."""
        parts = dict[Path, float]()
        if trial.trained.path not in self._trained:
            parts[trial.trained.path] = self._networks[trial.group]
        if self._measures(trial):
            parts[trial.measured] = self._importances[trial.group]
        return parts

    def _is_known(self, trial: Trial) -> bool:
        has_network = trial.trained.path in self._trained or trial.group in self._networks
        has_importance = not self._measures(trial) or trial.group in self._importances
        return trial.group in self._own and has_network and has_importance

    def _measures(self, trial: Trial) -> bool:
        return is_beyond(trial.until, "train") and trial.measured not in self._measured


def _own(trial: Trial) -> float | None:
    """Return the seconds of all that is not shared; None where a part of them is not known."""
    times = times_of(trial.folder, whole=True)
    draws = () if trial.random_removal is None else (DRAWS,)
    stages = [stage for stage in stages_until(trial.until) if stage != IMPORTANCE]
    if any(stage not in times for stage in (*stages, *draws)):
        return None
    return sum(seconds for stage, seconds in times.items() if stage != IMPORTANCE)


def _importance(trial: Trial) -> float | None:
    return times_of(trial.folder, whole=True).get(IMPORTANCE)


def _network(trial: Trial) -> float | None:
    times = times_of(trial.trained, whole=True)
    return sum(times.values()) if "train" in times else None


def _means(found: Iterable[tuple[str, float | None]]) -> dict[str, float]:
    taken: dict[str, list[float]] = {}
    for group, seconds in found:
        if seconds is not None:
            taken.setdefault(group, []).append(seconds)
    return {group: fmean(seconds) for group, seconds in taken.items()}
