"""From the files of a run folder to the record; the only place of this room that computes."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ValidationError

from kvasir_prune import __version__
from kvasir_prune.config import RunConfig, dump, identity
from kvasir_prune.data.findings import DataCheck
from kvasir_prune.errors import LedgerError, RunFolderError
from kvasir_prune.evaluation.latency import Latency
from kvasir_prune.evaluation.metrics import (
    class_accuracies,
    confusion_delta_percent,
    confusion_matrix,
    loss_accuracy,
)
from kvasir_prune.evaluation.store import SplitLogits
from kvasir_prune.importance.store import ImportanceStore
from kvasir_prune.ledger import HDF5Ledger, run_record
from kvasir_prune.ledger.hdf5_file import START_AGAIN
from kvasir_prune.ledger.identity import check, origin
from kvasir_prune.pruning.evolution import points
from kvasir_prune.report import notation, schema
from kvasir_prune.report.assessment import assess
from kvasir_prune.report.logits import read_logits
from kvasir_prune.report.run_times import stage_times
from kvasir_prune.report.turning_point import turning_point
from kvasir_prune.training.history import best_epoch, read_csv, stopped_early
from kvasir_prune.types import TEST, Ignored

Part = TypeVar("Part", bound=BaseModel)


@dataclass(frozen=True)
class Sources:
    """The files that a report is a function of; all lie in one run folder, and `log` may lack."""

    run: Path
    data: Path
    history: Path
    importance: Path
    ledger: Path
    evaluation: Path
    cost: Path
    split: Path
    data_check: Path
    latency: Path
    log: Path


def build_record(sources: Sources, config: RunConfig) -> schema.Record:
    """Compute everything that a report says.

    Args:
        sources: files of the run.
        config: of the run; what can change a result must be as `run.json` has it.

    Raises:
        RunFolderError: a file is missing, or another run wrote it.
        LedgerError: a file is damaged, or holds what is no number.
    """
    _check_present(sources)
    run = _run_of(sources)
    check(run["identity"], identity(config), where=sources.run, kind="configuration")
    ledger = HDF5Ledger(sources.ledger)
    importance = ImportanceStore(sources.importance)
    own = origin(run)
    for path, found in (
        (sources.ledger, ledger.identity),
        (sources.importance, importance.identity),
    ):
        check(found, own, where=path, kind="run", holder="file")
    evaluation, listing = read_logits(sources.evaluation, sources.split, own)
    evolution = _evolution(ledger, config.evaluation.every_removals)
    pruning = _pruning(ledger, config)
    checked = _part(DataCheck, sources.data_check)
    return schema.Record(
        name=config.name,
        description=config.description,
        results=schema.Results(
            classes=list(evaluation.classes),
            splits={name: _split(z) for name, z in evaluation.splits.items() if z.labels.size},
            assessment=assess(
                evaluation.splits[TEST],
                evaluation.classes,
                listing.of(TEST),
                config.report,
                earlier_margin=evaluation.margin,
                look_alikes=checked.look_alikes,
                seed=config.seed,
                where=sources.evaluation,
            ),
            layers=_layers(importance, ledger),
            cost=_part(schema.CostPair, sources.cost),
            evolution=evolution,
            turning_point=turning_point(evolution, pruning.chosen_on),
            training=_training(sources.history, config),
            pruning=pruning,
            data=_part(schema.Data, sources.data),
            data_check=checked,
        ),
        provenance=schema.Provenance(
            command=run["command"],
            seed=config.seed,
            versions=run["versions"],
            digests=run["digests"],
            devices=[entry["device"] for entry in run["devices"]],
            begun=run["created"],
            starts=run["starts"],
            stages=stage_times(sources.log, run["created"], run["starts"]),
            threads=run["threads"],
            memory_bytes=run["devices"][-1].get("memory_bytes") if run["devices"] else None,
            latency=[Latency(**entry) for entry in _json(sources.latency)],
            report_versions=_versions(),
            config_yaml=dump(config),
        ),
    )


def _versions() -> dict[str, str]:
    """Return the versions of what the numbers of a report are computed with."""
    packages = ("numpy", "scipy", "scikit-learn", "statsmodels")
    return {"kvasir_prune": __version__, **{name: version(name) for name in packages}}


def _check_present(sources: Sources) -> None:
    for path in vars(sources).values():
        if path != sources.log and not path.exists():
            raise RunFolderError(
                "The run is not far enough for a report: a file is missing.",
                where=path,
                fix="finish it with `kvasir-prune run`",
            )


def _run_of(sources: Sources) -> dict[str, Any]:
    """Return the content of `run.json`, once the files whose digests it knows are found whole."""
    run = run_record.read(sources.run)
    if run is None:
        raise _damaged(sources.run, "no record")
    images = (sources.data, sources.split, sources.data_check)
    for path in (*images, sources.history, sources.cost, sources.latency):
        run_record.check_file(run, path)
    return run


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise _damaged(path, error) from None


def _part(kind: type[Part], path: Path) -> Part:
    try:
        return kind.model_validate(_json(path))
    except ValidationError as error:
        raise _damaged(path, f"{error.error_count()} keys are missing or wrong") from None


def _damaged(path: Path, reason: object) -> LedgerError:
    return LedgerError(
        "A file of the run is damaged.",
        where=path,
        got=reason,
        expected="JSON as this version writes it",
        fix="restore the file from a copy, or start again in a new run folder",
    )


def _split(logits: SplitLogits) -> schema.Split:
    before = confusion_matrix(logits.before, logits.labels)
    after = confusion_matrix(logits.after, logits.labels)
    delta = confusion_delta_percent(before, after)
    return schema.Split(
        images=len(logits.labels),
        images_per_class=before.sum(axis=1).tolist(),
        before=_outcome(logits.before, logits.labels, before),
        after=_outcome(logits.after, logits.labels, after),
        confusion_delta_percent=[_or_none(row) for row in delta],
    )


def _outcome(
    logits: NDArray[np.float32], labels: NDArray[np.int64], matrix: NDArray[np.int64]
) -> schema.Outcome:
    value = loss_accuracy(logits, labels)
    return schema.Outcome(
        loss=value.loss,
        accuracy=value.accuracy,
        class_accuracy=_or_none(class_accuracies(matrix)),
        confusion_matrix=matrix.tolist(),
    )


def _or_none(values: Iterable[float]) -> list[float | None]:
    return [None if math.isnan(value) else float(value) for value in values]


def _layers(importance: ImportanceStore, ledger: HDF5Ledger) -> list[schema.Layer]:
    """Return the layers that were measured or pruned, first to last."""
    counts, removed = importance.counts(), ledger.state.removed_by_name()
    measured = {layer.name for layer in importance.layers}
    pruned = [layer for layer in reversed(ledger.layers) if layer.name not in measured]
    return [
        schema.Layer(
            name=layer.name,
            nodes=layer.nodes,
            important=counts[layer.name].important if layer.name in counts else None,
            zero=counts[layer.name].zero if layer.name in counts else None,
            worse=counts[layer.name].worse if layer.name in counts else None,
            removed=len(removed.get(layer.name, ())),
        )
        for layer in (*importance.layers, *pruned)
    ]


def _evolution(ledger: HDF5Ledger, every: int) -> list[schema.EvolutionPoint]:
    # Some rows may stem from another `every`, with which the evaluation was begun.
    wanted = {point.removed for point in points(ledger, every)}
    found: dict[int, dict[str, Any]] = {}
    for row in ledger.evolution:
        removed, layer, split, loss, accuracy = row.item()
        if not (math.isfinite(loss) and math.isfinite(accuracy)):
            raise LedgerError(
                "The ledger holds a loss or an accuracy that is no number.",
                where=ledger.path,
                got=f"loss {loss}, accuracy {accuracy} on the {split.decode()} images after "
                f"{notation.plural(removed, 'removal')}",
                fix=START_AGAIN,
            )
        if removed in wanted:
            name = None if layer < 0 else ledger.layers[layer].name
            point = found.setdefault(removed, {"removed": removed, "layer": name})
            point[split.decode()] = schema.Measured(loss=loss, accuracy=accuracy)
    return [schema.EvolutionPoint(**found[removed]) for removed in sorted(found)]


def _training(history_file: Path, config: RunConfig) -> schema.Training:
    history = read_csv(history_file)
    return schema.Training(
        epochs=[schema.Epoch(**vars(epoch)) for epoch in history],
        best_epoch=best_epoch(history, config.training.early_stopping),
        stopped_early=stopped_early(history, config.training),
    )


def _pruning(ledger: HDF5Ledger, config: RunConfig) -> schema.Pruning:
    state = ledger.state
    return schema.Pruning(
        strategy=config.pruning.strategy,
        scoring_split=config.importance.split,
        low=config.importance.low,
        high=config.importance.high,
        ignore_below=config.pruning.ignore_below if config.pruning.strategy == "greedy" else None,
        layers=[layer.name for layer in ledger.layers],
        removed=state.removals,
        ignored=sum(isinstance(entry, Ignored) for entry in ledger.entries),
        evaluations=state.evaluations,
    )
