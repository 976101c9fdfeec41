"""How far a run is, read from its files; needs no lock and no Keras."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kvasir_prune.config import load_config
from kvasir_prune.errors import KvasirPruneError, RunFolderError
from kvasir_prune.experiment.folder import RunFolder
from kvasir_prune.experiment.forecast import Forecast, fates, of_importance, of_pruning
from kvasir_prune.experiment.log_pace import evaluation_pace, training_pace
from kvasir_prune.experiment.pace import IMPORTANCE, PRUNING, Pace, read_pace
from kvasir_prune.importance.store import ImportanceStore
from kvasir_prune.ledger import HDF5Ledger, State
from kvasir_prune.ledger.run_record import is_finished
from kvasir_prune.progress import duration
from kvasir_prune.training.history import read_csv

FINISHED = "finished"
IMPORTED = "imported logs of 2020; there is nothing left to do"
UNITS = {
    "batches": "batches at most",
    "evaluations": "nodes scored",
    "passes": "passes over a split",
}
"""What is counted in the stages, in words."""
LOGGED = {"train": training_pace, "evaluate": evaluation_pace}
"""Stages that score no nodes."""
Facts = dict[str, Any]


@dataclass(frozen=True)
class Status:
    """Where a run stands.

    Attributes:
        stage: the stage it is in, or `FINISHED`; `IMPORTED` where the folder holds no run.
        facts: as far as they are known, by name; seconds, losses in nats, accuracies in [0, 1].
            started, devices; epochs, validation_loss, validation_accuracy; importance_nodes,
            importance_done; nodes, layer, layer_nodes, layer_done, layer_removed, layer_ignored,
            removed, evaluations, loss_before, loss, accuracy; while they last, of the training
            batches_done, batches (at most), batches_per_s, of the evaluation passes_done, passes
            (of a network over a split), passes_per_s; evaluations_per_s, left_s;
            last_commit_age_s; report.
    """

    stage: str
    facts: Facts

    def lines(self) -> dict[str, str]:
        """Return what there is to say, label -> words."""
        facts, words = self.facts, {"stage": self.stage}
        if "started" in facts:
            words["started"] = str(facts["started"])
        if "epochs" in facts:
            words["epochs"] = str(facts["epochs"])
            words["validation"] = (
                f"loss {facts['validation_loss']:.4f}, accuracy {facts['validation_accuracy']:.4f}"
            )
        if "importance_nodes" in facts:
            done, nodes = facts["importance_done"], facts["importance_nodes"]
            words["importance"] = f"{done} of {nodes} nodes measured"
        if "removed" in facts:
            words |= _pruning_lines(facts)
        for unit, what in UNITS.items():
            if f"{unit}_done" in facts:
                words["done"] = f"{facts[f'{unit}_done']:.0f} of {facts[unit]} {what}"
            if f"{unit}_per_s" in facts:
                words["rate"] = f"{facts[f'{unit}_per_s']:.3g} {what} in a second"
        if "left_s" in facts:
            words["time left"] = f"about {duration(facts['left_s'])} for this stage"
        if "last_commit_age_s" in facts:
            words["last commit"] = f"{duration(facts['last_commit_age_s'])} ago"
        if "report" in facts:
            words["report"] = facts["report"]
        return words


def _pruning_lines(facts: Facts) -> dict[str, str]:
    made = f" in {facts['evaluations']} evaluations" if "evaluations" in facts else ""
    words = {"removed": f"{facts['removed']} of {facts['nodes']} nodes{made}"}
    if {"loss_before", "loss"} <= facts.keys():
        words["loss"] = f"{facts['loss_before']:.5f} before, {facts['loss']:.5f} now"
    if "layer" in facts:
        words["layer"] = (
            f"{facts['layer']}: {facts['layer_done']} of {facts['layer_nodes']} nodes done; "
            f"{facts['layer_removed']} removed, {facts['layer_ignored']} ignored"
        )
    return words


def status_of(folder: RunFolder) -> Status:
    """Read the status of a run from all its records, so that a damaged one shows early.

    Raises:
        RunFolderError: the folder is no run.
        LedgerError: a file of the run is damaged.
    """
    record = folder.read_record()
    if record is None and folder.imported.exists():
        return Status(IMPORTED, _imported(folder))
    if record is None:
        raise RunFolderError(
            "This folder is no run.",
            where=folder.path,
            expected="a folder made by `kvasir-prune run`, with a run.json",
        )
    facts: Facts = {
        "started": record["created"],
        "devices": [entry["device"] for entry in record["devices"]],
    }
    stage = stage_of(folder, record)
    facts |= _training(folder) | _importance(folder) | _pruning(folder)
    if stage in LOGGED:
        facts |= _logged(folder, record, stage)
    if (folder.report / "report.json").exists():
        facts["report"] = str(folder.report / "report.html")
    return Status(stage, facts)


def stage_of(folder: RunFolder, record: Mapping[str, Any]) -> str:
    """Return the stage that a run is in, or `FINISHED`.

    Args:
        folder: of the run.
        record: its `run.json`.

    Raises:
        LedgerError: a record of importances or removals is damaged.
    """
    ends = {
        "data": (folder.data, folder.split, folder.data_check),
        "train": (folder.history, folder.model),
        "importance": (folder.importance,),
        "prune": (folder.pruned,),
        "evaluate": (folder.cost, folder.evaluation, folder.latency, folder.thumbnails),
        "report": folder.report_files,
    }
    known = {path.name for path in folder.finished_files}
    for stage, files in ends.items():
        for file in files:
            if not file.exists() or (file.name in known and not is_finished(record, file)):
                return stage
        if stage == "importance" and not ImportanceStore(folder.importance).complete:
            return stage
        if stage == "prune" and not _is_pruned(folder):
            return stage
    return FINISHED


def _imported(folder: RunFolder) -> Facts:
    """Return what the ledger of imported logs says; a loss that was not logged is absent."""
    ledger = HDF5Ledger(folder.ledger)
    facts: Facts = {
        "nodes": sum(layer.nodes for layer in ledger.layers),
        "removed": ledger.state.removals,
    }
    losses = {"loss_before": ledger.baseline.loss, "loss": ledger.state.current.loss}
    facts |= {name: value for name, value in losses.items() if math.isfinite(value)}
    return {**facts, "report": str(folder.report / "report.html")}


def _is_pruned(folder: RunFolder) -> bool:
    """Return whether the ledger is at its end; after a damage it may have gone back."""
    return folder.ledger.exists() and HDF5Ledger(folder.ledger).state.finished


def _training(folder: RunFolder) -> Facts:
    history = read_csv(folder.history) if folder.history.exists() else ()
    if not history:
        return {}
    last = history[-1]
    return {
        "epochs": last.epoch,
        "validation_loss": last.validation_loss,
        "validation_accuracy": last.validation_accuracy,
    }


def _importance(folder: RunFolder) -> Facts:
    if not folder.importance.exists():
        return {}
    store = ImportanceStore(folder.importance)
    facts: Facts = {
        "importance_nodes": sum(layer.nodes for layer in store.layers),
        "importance_done": len(store.measured),
    }
    if not store.complete:
        facts["last_commit_age_s"] = time.time() - folder.importance.stat().st_mtime
        if pace := read_pace(folder.pace):
            facts |= _pace_of(pace, IMPORTANCE) | _left(of_importance(pace, store))
    return facts


def _pruning(folder: RunFolder) -> Facts:
    if not folder.ledger.exists():
        return {}
    ledger = HDF5Ledger(folder.ledger)
    state = ledger.state
    facts: Facts = {
        "nodes": sum(layer.nodes for layer in ledger.layers),
        "removed": state.removals,
        "evaluations": state.evaluations,
        "loss_before": ledger.baseline.loss,
        "loss": state.current.loss,
        "accuracy": state.current.accuracy,
        "last_commit_age_s": time.time() - folder.ledger.stat().st_mtime,
    }
    if not state.finished:
        layer, gone = state.layers[state.layer], len(state.removed[state.layer])
        facts |= {
            "layer": layer.name,
            "layer_nodes": layer.nodes,
            "layer_done": len(state.ignored | state.looked_at | {*state.removed[state.layer]}),
            "layer_removed": gone,
            "layer_ignored": len(state.ignored),
        }
        facts |= _pruning_left(folder, state)
    return facts


def _pruning_left(folder: RunFolder, state: State) -> Facts:
    """Return rate and time left of the pruning, as far as they can be told."""
    pace = read_pace(folder.pace)
    if pace is None:
        return {}
    try:
        config = load_config(folder.config)
        store = ImportanceStore(folder.importance) if folder.importance.exists() else None
    except KvasirPruneError:
        return {}
    forecast = of_pruning(pace, config, fates(config, state.layers, store), state)
    return _pace_of(pace, PRUNING) | _left(forecast)


def _logged(folder: RunFolder, record: Mapping[str, Any], stage: str) -> Facts:
    """Return how far and how fast a stage is by the log, as far as it can be told."""
    try:
        config = load_config(folder.config)
    except KvasirPruneError:
        return {}
    return LOGGED[stage](folder, config, (record["starts"] or [record["created"]])[-1])


def _pace_of(pace: Pace, stage: str) -> Facts:
    made, seconds = (sum(parts) for parts in zip((0, 0), *pace.spent[stage].values(), strict=True))
    return {"evaluations_per_s": made / seconds} if seconds else {}


def _left(forecast: Forecast | None) -> Facts:
    return {} if forecast is None else {"left_s": forecast.left_s}
