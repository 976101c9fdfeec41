"""The configuration of a sweep: one run in many settings, each with many seeds."""

from __future__ import annotations

import copy
import itertools
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from kvasir_prune.config.base import PositiveInt, Section
from kvasir_prune.config.faults import faults_of
from kvasir_prune.config.load import apply, parse, put, validate
from kvasir_prune.config.schema import RunConfig
from kvasir_prune.errors import ConfigError, Fault

OWN_KEYS = ("name", "description", "seed")
"""Keys of a run that a sweep gives to each trial itself."""
ONLY = "run"
"""Name of the setting of a sweep that varies nothing but the seed."""
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Keys = dict[str, Any]


class RandomRemoval(Section):
    """What is left of every trained network without nodes drawn at random (thesis section 4.1)."""

    nodes: Annotated[list[PositiveInt], Field(min_length=1)] = Field(
        default=[1, 2, 4, 8, 16, 32, 64]
    )
    """How many nodes are drawn, from all hidden layers at once; every layer keeps one."""
    repetitions: PositiveInt = 1000
    """Draws of each number."""
    split: Literal["train", "validation", "test"] = "test"
    """The split on which loss and accuracy are measured."""

    @property
    def draws(self) -> int:
        """All draws together."""
        return len(self.nodes) * self.repetitions


class SweepConfig(Section):
    """Many runs that differ in a few keys and in the seed; each of them is a trial."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=60)]
    """Name of the sweep; its folder is sweeps/NAME unless --folder says otherwise."""
    description: str = ""
    """What it is for, in the user's words."""
    run: Keys | str
    """The run that is varied: its keys, or the path of its YAML file, seen from this one."""
    settings: dict[str, Keys] = Field(default={})
    """Name -> YAML path of the run (`a.b`) -> value. Every setting is tried with every point of the
    grid."""
    grid: dict[str, Annotated[list[Any], Field(min_length=1)]] = Field(default={})
    """YAML path of the run -> values; every combination is tried."""
    repeated: list[str] = Field(default=[])
    """Keys of the grid whose values are repetitions, like seeds: statistics are over them too."""
    seeds: PositiveInt | Annotated[list[Seed], Field(min_length=1)] = 1
    """How many seeds, from 0 on; or which. A seed is that of the split, the initial weights and the
    order of the images."""
    until: Literal["train", "importance", "prune", "evaluate", "report"] = "evaluate"
    """The last stage of every trial."""
    random_removal: RandomRemoval | None = None
    """What is done with the trained network of every trial besides; null: nothing."""
    published: str | None = None
    """A CSV file, seen from this one, of statistics that somebody else has published; the tables
    are set beside them. Columns as in docs/laboratory.md."""

    @field_validator("seeds")
    @classmethod
    def _no_seed_twice(cls, seeds: int | list[int]) -> int | list[int]:
        twice = [seed for seed, count in Counter(_seeds(seeds)).items() if count > 1]
        if twice:
            raise ValueError(f"{', '.join(map(str, twice))} stands there more than once")
        return seeds

    @field_validator("grid")
    @classmethod
    def _no_value_twice(cls, grid: dict[str, list[Any]]) -> dict[str, list[Any]]:
        for key, values in grid.items():
            twice = [value for place, value in enumerate(values) if value in values[:place]]
            if twice:
                raise ValueError(f"{key} holds {twice[0]!r} more than once")
        return grid

    @model_validator(mode="after")
    def _repetitions_are_of_the_grid(self) -> SweepConfig:
        foreign = [key for key in self.repeated if key not in self.grid]
        if foreign:
            raise ValueError(f"repeated names {', '.join(foreign)}, which is no key of the grid")
        return self


@dataclass(frozen=True)
class Setting:
    """What some of the trials have in common.

    Attributes:
        name: fit for a folder, one of its kind in the sweep.
        group: its name without the keys that are repetitions: what statistics are over.
        keys: YAML path of the run -> value, what it differs in from the others.
        config: of its runs, but for the seed.
    """

    name: str
    group: str
    keys: Mapping[str, Any]
    config: RunConfig


@dataclass(frozen=True)
class Sweep:
    """A validated sweep: its configuration, its settings in order, its seeds.

    `published` is the path of what its tables are set beside, None for nothing.
    """

    config: SweepConfig
    settings: tuple[Setting, ...]
    seeds: tuple[int, ...]
    published: Path | None = None


def load_sweep(path: Path, overrides: Sequence[str] = ()) -> Sweep:
    """Read, override and validate a sweep and the run of every setting.

    Args:
        path: a YAML file.
        overrides: texts `a.b=value`; the value is YAML.

    Raises:
        ConfigError: with every fault at once, each by its YAML path.
    """
    document = parse(path)
    for override in overrides:
        apply(document, override)
    try:
        config = SweepConfig.model_validate(document)
    except ValidationError as error:
        raise ConfigError(path, faults_of(error, document, SweepConfig)) from None
    run = config.run
    base = parse(path.parent / run) if isinstance(run, str) else copy.deepcopy(run)
    given = [key for key in OWN_KEYS if key in base and not isinstance(run, str)]
    faults = [Fault(f"run.{key}", "is given to each trial by the sweep itself") for key in given]
    settings = []
    for name, group, keys in _combinations(config):
        try:
            settings.append(_setting(config, base, name, group, keys))
        except ConfigError as error:
            faults += [_placed(fault, name, keys) for fault in error.faults]
    faults += _alike(settings)
    if faults:
        raise ConfigError(path, list(dict.fromkeys(faults)))
    published = None if config.published is None else path.parent / config.published
    return Sweep(config, tuple(settings), tuple(_seeds(config.seeds)), published)


def _seeds(seeds: int | list[int]) -> Sequence[int]:
    return range(seeds) if isinstance(seeds, int) else seeds


def _combinations(config: SweepConfig) -> Iterator[tuple[str, str, Keys]]:
    """Yield name, group and keys of every setting at every point of the grid."""
    last = Counter(key.rpartition(".")[2] for key in config.grid)
    short = {key: key.rpartition(".")[2] for key in config.grid}
    words = {key: name if last[name] == 1 else key for key, name in short.items()}
    for name, keys in (config.settings or {"": {}}).items():
        for values in itertools.product(*config.grid.values()):
            point = dict(zip(config.grid, values, strict=True))
            parts = {key: f"{words[key]}={_word(value)}" for key, value in point.items()}
            own = [part for key, part in parts.items() if key not in config.repeated]
            yield _joined(name, parts.values()), _joined(name, own), {**keys, **point}


def _joined(name: str, parts: Iterable[str]) -> str:
    return ",".join([name, *parts] if name else parts) or ONLY


def _word(value: object) -> str:
    """Return a value as part of a folder's name."""
    text = "-".join(map(str, value)) if isinstance(value, list) else str(value)
    return re.sub(r"[^A-Za-z0-9.+-]+", "_", text)


def _setting(config: SweepConfig, base: Keys, name: str, group: str, keys: Keys) -> Setting:
    document = {**copy.deepcopy(base), "name": config.name, "description": config.description}
    for key, value in keys.items():
        put(document, key, copy.deepcopy(value))
    return Setting(name, group, keys, validate({**document, "seed": 0}, source=name))


def _placed(fault: Fault, setting: str, keys: Keys) -> Fault:
    """Say where in the sweep's file a fault of one of its runs stands."""
    own = any(f"{fault.path}.".startswith(f"{key}.") for key in keys)
    path = f"setting {setting}: {fault.path}" if own else f"run.{fault.path}"
    return Fault(path, fault.problem, fault.got, fault.allowed, fault.suggestion)


def _alike(settings: Sequence[Setting]) -> list[Fault]:
    """Refuse names that would share a folder, on file systems without capitals too."""
    faults, seen = list[Fault](), dict[str, str]()
    for setting in settings:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._=,+-]*", setting.name):
            faults.append(Fault(f"setting {setting.name}", "is no name for a folder"))
        known = seen.setdefault(setting.name.lower(), setting.name)
        if known is not setting.name:
            faults.append(Fault(f"setting {setting.name}", f"shares its folder with {known}"))
    return faults
