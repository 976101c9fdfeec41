"""How far a run is, read from its files; needs no lock and no Keras."""

from __future__ import annotations

import time
from dataclasses import dataclass

from kvasir_prune.config import load_config
from kvasir_prune.errors import KvasirPruneError, RunFolderError
from kvasir_prune.experiment.folder import RunFolder
from kvasir_prune.experiment.forecast import fates, of_importance, of_pruning
from kvasir_prune.experiment.pace import read_pace
from kvasir_prune.importance.store import ImportanceStore
from kvasir_prune.ledger import HDF5Ledger, State
from kvasir_prune.progress import duration
from kvasir_prune.training.history import read_csv

FINISHED = "finished"


@dataclass(frozen=True)
class Status:
    """Where a run stands.

    Attributes:
        stage: the stage it is in, or `FINISHED`.
        facts: what there is to say about it, label -> value, in order.
    """

    stage: str
    facts: dict[str, str]


def status_of(folder: RunFolder) -> Status:
    """Read the status of a run from all its records, so that a damaged one shows early.

    Raises:
        RunFolderError: the folder is no run.
        LedgerError: a file of the run is damaged.
    """
    record = folder.read_record()
    if record is None:
        raise RunFolderError(
            "This folder is no run.",
            where=folder.path,
            expected="a folder made by `kvasir-prune run`, with a run.json",
        )
    facts = {"started": str(record["created"])}
    facts |= _training(folder) | _importance(folder) | _pruning(folder)
    if (folder.report / "report.json").exists():
        facts["report"] = str(folder.report / "report.html")
    return Status(_stage(folder), facts)


def _stage(folder: RunFolder) -> str:
    ends = {
        "data": folder.split,
        "train": folder.model,
        "importance": folder.importance,
        "prune": folder.pruned,
        "evaluate": folder.evaluation,
        "report": folder.report / "report.json",
    }
    for stage, file in ends.items():
        if not file.exists() or (stage == "evaluate" and not folder.cost.exists()):
            return stage
        if stage == "importance" and not ImportanceStore(file).complete:
            return stage
    return FINISHED


def _training(folder: RunFolder) -> dict[str, str]:
    if not folder.history.exists():
        return {}
    history = read_csv(folder.history)
    if not history:
        return {}
    last = history[-1]
    return {
        "epochs": str(last.epoch),
        "validation": f"loss {last.validation_loss:.4f}, accuracy {last.validation_accuracy:.4f}",
    }


def _importance(folder: RunFolder) -> dict[str, str]:
    if not folder.importance.exists():
        return {}
    store = ImportanceStore(folder.importance)
    nodes = sum(layer.nodes for layer in store.layers)
    facts = {"importance": f"{len(store.measured)} of {nodes} nodes measured"}
    pace = None if store.complete else read_pace(folder.pace)
    if pace and (forecast := of_importance(pace, store)):
        facts["time left"] = f"about {duration(forecast.left_s)} for the importance"
    return facts


def _pruning(folder: RunFolder) -> dict[str, str]:
    if not folder.ledger.exists():
        return {}
    ledger = HDF5Ledger(folder.ledger)
    state = ledger.state
    nodes = sum(layer.nodes for layer in ledger.layers)
    facts = {
        "removed": f"{state.removals} of {nodes} nodes in {state.evaluations} evaluations",
        "loss": f"{ledger.baseline.loss:.5f} before, {state.current.loss:.5f} now",
        "last commit": f"{time.time() - folder.ledger.stat().st_mtime:.0f} s ago",
    }
    if not state.finished:
        layer = state.layers[state.layer]
        gone, ignored = len(state.removed[state.layer]), len(state.ignored)
        facts["layer"] = f"{layer.name}: {layer.nodes} nodes, {gone} removed, {ignored} ignored"
        facts |= _pruning_left(folder, state)
    return facts


def _pruning_left(folder: RunFolder, state: State) -> dict[str, str]:
    """Return the time left of the pruning, if it can be told."""
    pace = read_pace(folder.pace)
    if pace is None:
        return {}
    try:
        config = load_config(folder.config)
        store = ImportanceStore(folder.importance) if folder.importance.exists() else None
    except KvasirPruneError:
        return {}
    forecast = of_pruning(pace, config, fates(config, state.layers, store), state)
    return {"time left": f"about {duration(forecast.left_s)} for the pruning"} if forecast else {}
