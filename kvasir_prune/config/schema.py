"""The whole configuration of a run."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BaseModel, Field, model_validator

from kvasir_prune.config.base import COSMETIC, Section
from kvasir_prune.config.data import DataConfig
from kvasir_prune.config.method import (
    EvaluationConfig,
    ImportanceConfig,
    PruningConfig,
    RuntimeConfig,
    TrainingConfig,
)
from kvasir_prune.config.model import ModelConfig
from kvasir_prune.config.report import ReportConfig
from kvasir_prune.publish import sha256_json

_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]*$")


class RunConfig(Section):
    """One run: data -> training -> importance -> pruning -> evaluation -> report."""

    name: Annotated[str, Field(pattern=_NAME.pattern, max_length=100, json_schema_extra=COSMETIC)]
    """Name of the run; its folder is checkpoints/NAME unless --run-dir says otherwise."""
    description: Annotated[str, Field(json_schema_extra=COSMETIC)] = ""
    """What the run is for, in the user's words; printed in the report."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Seed of the split, the initial weights, the order of the training images and the nodes drawn
    at random."""
    data: DataConfig
    """Where the images come from and how they are split."""
    model: ModelConfig
    """The network."""
    training: TrainingConfig = TrainingConfig()
    """How it is trained."""
    importance: ImportanceConfig = ImportanceConfig()
    """How the importance of its nodes is measured."""
    pruning: PruningConfig = PruningConfig()
    """How nodes are removed."""
    evaluation: EvaluationConfig = EvaluationConfig()
    """What is measured before and after."""
    report: Annotated[ReportConfig, Field(json_schema_extra=COSMETIC)] = ReportConfig()
    """What the comparison is judged by."""
    runtime: RuntimeConfig = RuntimeConfig()
    """Threads."""

    @model_validator(mode="after")
    def _ignored_nodes_are_important(self) -> RunConfig:
        low, ignore = self.importance.low, self.pruning.ignore_below
        greedy = self.pruning.strategy == "greedy"
        if greedy and ignore is not None and ignore >= low:
            raise ValueError(
                f"pruning.ignore_below: must lie below importance.low ({low}), got {ignore}"
            )
        return self

    @model_validator(mode="after")
    def _pruned_layers_are_measured(self) -> RunConfig:
        measured, pruned = self.importance.layers, self.pruning.layers
        if self.pruning.strategy != "pre_calculated" or measured is None:
            return self
        if pruned is None or not set(pruned) <= set(measured):
            raise ValueError(
                "pruning.layers: strategy pre_calculated can only prune layers that "
                f"importance.layers measures ({', '.join(measured)}), got {pruned or 'all'}"
            )
        return self


def identity(config: RunConfig) -> dict[str, Any]:
    """Return what can change a result, flat: YAML path -> value.

    Cosmetic keys are left out, and later ones at their default.
    """
    flat: dict[str, Any] = {}
    _flatten(config, "", flat)
    return flat


def with_threads(config: RunConfig, threads: int) -> RunConfig:
    """Return the configuration with the number of threads that its run was begun with."""
    runtime = config.runtime.model_copy(update={"threads": threads})
    return config.model_copy(update={"runtime": runtime})


def digest(config: RunConfig) -> str:
    """Return the SHA-256 of `identity`, 64 hexadecimal digits."""
    return sha256_json(identity(config))


def _flatten(section: BaseModel, prefix: str, into: dict[str, Any]) -> None:
    for key, field in type(section).model_fields.items():
        extra = field.json_schema_extra
        value = getattr(section, key)
        marks = extra if isinstance(extra, dict) else {}
        if marks.get("cosmetic") or (marks.get("later") and value == field.default):
            continue
        if isinstance(value, BaseModel):
            _flatten(value, f"{prefix}{key}.", into)
        else:
            into[f"{prefix}{key}"] = value
