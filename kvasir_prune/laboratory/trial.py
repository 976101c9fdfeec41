"""One trial of a sweep: one setting with one seed, a run with a folder of its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any

from kvasir_prune import backend
from kvasir_prune.config import RunConfig, identity
from kvasir_prune.config.sweep import RandomRemoval, Setting, Sweep
from kvasir_prune.errors import KvasirPruneError
from kvasir_prune.experiment.folder import RunFolder
from kvasir_prune.publish import sha256_json

TRAINS = ("seed", "data", "model", "training", "runtime")
"""Sections of a configuration that a trained network is a function of."""


@dataclass(frozen=True)
class Trial:
    """One run of a sweep.

    Attributes:
        setting: its setting's name.
        group: the setting's name without repetitions.
        keys: YAML path -> value, what the setting varies.
        config: of the run.
        folder: of the run.
        trained: folder of the run that trains its network, for every trial that can share it.
        measured: folder of the importances of that network, likewise.
        until: last stage.
        random_removal: what is done with the trained network besides.
    """

    setting: str
    group: str
    keys: Mapping[str, Any]
    config: RunConfig
    folder: RunFolder
    trained: RunFolder
    measured: Path
    until: str
    random_removal: RandomRemoval | None = None

    @property
    def name(self) -> str:
        """Setting and seed, as its folder is called."""
        return f"{self.setting}/{seed_name(self.config.seed)}"


def seed_name(seed: int) -> str:
    """Return the name of a trial's folder in that of its setting."""
    return f"seed-{seed:04d}"


def trials_of(sweep: Sweep, folder: Path, shared: Path) -> Iterator[Trial]:
    """Yield every trial, seed by seed, so that all settings have some results early.

    Args:
        sweep: which.
        folder: receives the folders of the trials.
        shared: receives decoded images, trained networks and their importances, for all sweeps.
    """
    for seed in sweep.seeds:
        for setting in sweep.settings:
            config = _config(sweep, setting, seed, shared)
            own = RunFolder(folder / setting.name / seed_name(seed))
            network = _training_key(config, versions_of(own))
            yield Trial(
                setting.name,
                setting.group,
                setting.keys,
                config,
                own,
                RunFolder(shared / "trained" / network),
                shared / "measured" / _measuring_key(config, network),
                sweep.config.until,
                sweep.config.random_removal,
            )


def waiting_least(trials: Sequence[Trial], at_once: int) -> Iterator[Trial]:
    """Yield trials in an order in which those done at once seldom wait for each other.

    Whoever needs a network first trains it, and the others wait. So a few seeds are taken together,
    with all trials that come first to a network before those that come second.

    Args:
        trials: seed by seed.
        at_once: how many trials are done at once, and seeds taken together.
    """
    seeds = list(dict.fromkeys(trial.config.seed for trial in trials))
    for start in range(0, len(seeds), at_once):
        together = seeds[start : start + at_once]
        comers = Counter[Path]()
        places = list[tuple[int, Trial]]()
        for trial in trials:
            if trial.config.seed in together:
                places.append((comers[trial.trained.path], trial))
                comers[trial.trained.path] += 1
        yield from (trial for _, trial in sorted(places, key=itemgetter(0)))


def versions_of(folder: RunFolder) -> dict[str, str]:
    """Return the versions that a trial was begun with; the present ones where it was not begun."""
    try:
        record = folder.read_record()
    except KvasirPruneError:
        # Damaged: whoever goes on with the trial mends it, or says what is the matter.
        record = None
    return dict(record["versions"]) if record else backend.versions()


def training_config(config: RunConfig) -> RunConfig:
    """Return the configuration of the run that only trains the network of another."""
    # Algorithm 7 judges the initial weights by their importance.
    judged = ("importance",) if config.training.rerandomisation else ()
    trains = {name: getattr(config, name) for name in (*TRAINS, *judged)}
    return RunConfig(name="trained", description="A network for trials of sweeps", **trains)


def _config(sweep: Sweep, setting: Setting, seed: int, shared: Path) -> RunConfig:
    config = setting.config
    data, runtime = config.data, config.runtime
    if data.cache_dir is None:
        data = data.model_copy(update={"cache_dir": str(shared / "images")})
    if runtime.threads is None:
        # A trial must not depend on how many stand beside it.
        runtime = runtime.model_copy(update={"threads": 1})
    name = f"{sweep.config.name}-{seed_name(seed)}"
    return config.model_copy(update={"name": name, "seed": seed, "data": data, "runtime": runtime})


def _training_key(config: RunConfig, versions: Mapping[str, str]) -> str:
    """Return what tells trained networks apart: all that they are functions of."""
    # The root is no part of a run's identity, for a folder may be moved; two are other images.
    beside = {"threads": config.runtime.threads, "root": getattr(config.data, "root", None)}
    known = identity(training_config(config)) | beside | dict(versions)
    return sha256_json(known)[:16]


def _measuring_key(config: RunConfig, network: str) -> str:
    """Return what tells the importances of trained networks apart."""
    known = identity(config)
    # The thresholds only tell what is measured apart; not to trust a device is to measure anew.
    asked = {"verify_every": config.pruning.verify_every} | {
        key: value
        for key, value in known.items()
        if key.startswith("importance.") and key not in ("importance.low", "importance.high")
    }
    return sha256_json({"network": network, **asked})[:16]
