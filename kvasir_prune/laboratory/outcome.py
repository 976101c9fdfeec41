"""What a trial has found, as one row of a table; read from its files without Keras."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np

from kvasir_prune.evaluation import store
from kvasir_prune.evaluation.metrics import class_accuracies, confusion_matrix, loss_accuracy
from kvasir_prune.experiment.folder import RunFolder
from kvasir_prune.importance.store import ImportanceStore
from kvasir_prune.laboratory.draw_store import store_of
from kvasir_prune.laboratory.stage_times import times_of
from kvasir_prune.laboratory.trial import Trial
from kvasir_prune.ledger import HDF5Ledger
from kvasir_prune.ledger.identity import origin
from kvasir_prune.training.history import best_epoch, read_csv

Row = dict[str, Any]


def outcome_of(trial: Trial) -> Row:
    """Return setting, seed, network, provenance and all quantities that the stages have found.

    Quantities are named as in `docs/laboratory.md`: `removed`, `removed.LAYER`, `worse.LAYER`,
    `test.loss_before` ...; losses in nats, accuracies in [0, 1], times in seconds.
    """
    folder = trial.folder
    row: Row = {"setting": trial.group, **trial.keys, "seed": trial.config.seed}
    row["network"] = trial.trained.path.name
    row |= dict(_provenance(folder))
    row |= dict(_importance(folder))
    row |= dict(_pruning(folder))
    row |= dict(_evaluation(folder))
    row |= dict(_training(trial))
    # A trial's own training is the reading of the network that it shares.
    trained = times_of(trial.trained, whole=True).get("train")
    for stage, seconds in {**times_of(folder, whole=True), "train": trained}.items():
        if seconds is not None:
            row[f"seconds.{stage}"] = seconds
    return row


def draws_of(trial: Trial) -> list[Row]:
    """Return a row for every draw of nodes removed at random: nodes, number, loss, accuracy."""
    asked, record = trial.random_removal, trial.folder.read_record()
    if asked is None or record is None:
        return []
    table = store_of(trial.folder, asked, origin(record)).table(asked)
    names = table.dtype.names or ()
    own = {"setting": trial.group, "seed": trial.config.seed}
    return [{**own, **dict(zip(names, row.item(), strict=True))} for row in table]


def _provenance(folder: RunFolder) -> Iterator[tuple[str, str]]:
    """Yield what computed the numbers, for rows that are put beside others elsewhere."""
    if (record := folder.read_record()) is not None:
        versions = record["versions"]
        names = ("kvasir_prune code", "keras", versions.get("backend"), "numpy")
        known = (f"{name} {versions[name]}" for name in names if name in versions)
        yield "computed_by", ", ".join(known)
        yield "device", ", then ".join(entry["device"] for entry in record["devices"])


def _training(trial: Trial) -> Iterator[tuple[str, Any]]:
    history = read_csv(trial.folder.history)
    yield "epochs", len(history)
    best = history[best_epoch(history, trial.config.training.early_stopping) - 1]
    yield "training.validation_loss", best.validation_loss
    yield "training.validation_accuracy", best.validation_accuracy
    drawn = trial.trained.initial_weights
    if trial.config.training.rerandomisation is not None and drawn.exists():
        for layer in json.loads(drawn.read_text(encoding="utf-8")):
            for key in ("important_at_first", "important", "tries"):
                yield f"initial_weights.{key}.{layer['layer']}", layer[key]


def _importance(folder: RunFolder) -> Iterator[tuple[str, Any]]:
    if not folder.importance.exists():
        return
    store = ImportanceStore(folder.importance)
    for number, layer in enumerate(store.layers):
        found = np.array([m.importance for m in store.measured if m.layer == number])
        classes = {
            "important": found < store.low,
            "zero": (found >= store.low) & (found <= store.high),
            "worse": found > store.high,
        }
        for name, members in classes.items():
            yield f"{name}.{layer.name}", int(members.sum())
            if members.any():
                yield f"mean_importance_of_{name}.{layer.name}", float(found[members].mean())


def _pruning(folder: RunFolder) -> Iterator[tuple[str, Any]]:
    if not folder.ledger.exists():
        return
    ledger = HDF5Ledger(folder.ledger)
    yield "removed", ledger.state.removals
    removed = ledger.state.removed_by_name()
    for layer in reversed(ledger.layers):
        yield f"removed.{layer.name}", len(removed.get(layer.name, ()))
    yield "evaluations", ledger.state.evaluations


def _evaluation(folder: RunFolder) -> Iterator[tuple[str, Any]]:
    if not folder.evaluation.exists():
        return
    found = store.read(folder.evaluation)
    for name, split in found.splits.items():
        if len(split.labels) == 0:
            continue
        values = {}
        for moment, logits in (("before", split.before), ("after", split.after)):
            value = values[moment] = loss_accuracy(logits, split.labels)
            yield f"{name}.loss_{moment}", value.loss
            yield f"{name}.accuracy_{moment}", value.accuracy
            shares = class_accuracies(confusion_matrix(logits, split.labels))
            for label, share in zip(found.classes, shares.tolist(), strict=True):
                yield f"{name}.accuracy_{moment}.{label}", share
        yield f"{name}.loss_change", values["after"].loss - values["before"].loss
        yield f"{name}.accuracy_change", values["after"].accuracy - values["before"].accuracy
