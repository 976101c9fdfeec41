"""Whole runs with the strategies of thesis sections 4.1 and 4.5, down to the report."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import pytest

from kvasir_prune.config import validate
from kvasir_prune.config.method import PruningConfig
from kvasir_prune.errors import ModelError
from kvasir_prune.experiment.strategies import check_nodes, strategy_of
from kvasir_prune.importance.store import ImportanceStore
from kvasir_prune.ledger import HDF5Ledger
from kvasir_prune.pruning import Exhaustive, Greedy, PreCalculated, Random, RandomWhileImproving
from kvasir_prune.pruning.random_improving import improvement
from kvasir_prune.pruning.random_removal import draw
from kvasir_prune.types import LayerSize, LossAccuracy, Removed, Scored
from tests.cli_runs import AFTER_IMPORTANCE, RUN, Server, settings, write_config

IMPROVING = {"strategy": "random_while_improving", "nodes_at_a_time": 2, "tries": 24}
SHORT = {"data.limit_per_class": 20, "training.max_epochs": 1}


def finished(server: Server, folder: Path, pruning: Mapping[str, Any]) -> HDF5Ledger:
    write_config(folder, {**SHORT, "pruning": dict(pruning)})
    server.call(*RUN, cwd=folder).succeeded()
    assert (folder / "run" / "report" / "report.html").exists()
    assert (folder / "run" / "pruned.keras").exists()
    return HDF5Ledger(folder / "run" / "pruning.h5")


def test_pre_calculated_removes_what_the_importances_of_the_run_say(
    server: Server, tmp_path: Path
) -> None:
    ledger = finished(server, tmp_path, {"strategy": "pre_calculated"})
    store = ImportanceStore(tmp_path / "run" / "importance.h5")
    unimportant = {(m.layer, m.node) for m in store.measured if m.importance >= store.low}
    assert 0 < len(unimportant) < 128
    assert {(0, node) for node in ledger.state.removed[0]} == unimportant


def test_random_removes_what_the_seed_draws(server: Server, tmp_path: Path) -> None:
    ledger = finished(server, tmp_path, {"strategy": "random", "nodes": 16})
    assert tuple(map(frozenset, ledger.state.removed)) == draw(0, ledger.layers, 16)


def test_random_while_improving_improves_and_does_the_same_again(
    server: Server, tmp_path: Path
) -> None:
    ledger = finished(server, tmp_path, IMPROVING)
    groups = [entry for entry in ledger.entries if isinstance(entry, Removed)][1::2]
    assert groups
    best = ledger.baseline
    for last in groups:
        new = LossAccuracy(last.loss, last.accuracy)
        assert improvement(best, new) > 0
        best = new
    assert ledger.state.evaluations == 24 + len(groups)
    for name in AFTER_IMPORTANCE:
        if name in ("pruning.h5", "pruned.keras"):
            (tmp_path / "run" / name).unlink()
    server.call(*RUN, cwd=tmp_path).succeeded()
    assert HDF5Ledger(tmp_path / "run" / "pruning.h5").entries == ledger.entries


def test_too_many_nodes_are_refused_before_the_training(server: Server, tmp_path: Path) -> None:
    write_config(tmp_path, {**SHORT, "pruning": {"strategy": "random", "nodes": 128}})
    server.call(*RUN, cwd=tmp_path).refused("pruning.nodes", 128, "at most 127")
    assert not (tmp_path / "run" / "model.keras").exists()


LAYERS = (LayerSize("b", 2), LayerSize("a", 3))
KEYS = {"random": {"nodes": 3}, "random_while_improving": {"nodes_at_a_time": 4, "tries": 9}}


def test_every_name_of_a_strategy_stands_for_one(tmp_path: Path) -> None:
    """Importances are kept first layer to last, in any order of nodes; a job works backward."""
    baseline = LossAccuracy(1.0, 0.5)
    store = ImportanceStore(tmp_path / "i.h5", layers=LAYERS[::-1], baseline=baseline)
    store.record(1, [Scored(1, 0.5, 0.5), Scored(0, 0.75, 0.5)])
    store.record(0, [Scored(2, 1.5, 0.5), Scored(0, 1.25, 0.5), Scored(1, 1.0, 0.5)])
    expected = {
        "greedy": Greedy(-1e-5, -1e-3),
        "exhaustive": Exhaustive(-1e-5),
        "pre_calculated": PreCalculated(-1e-5, ((0.25, 0.5), (-0.25, 0.0, -0.5))),
        "random": Random(7, 3),
        "random_while_improving": RandomWhileImproving(7, 4, 9),
    }
    assert set(expected) == set(get_args(PruningConfig.model_fields["strategy"].annotation))
    for name, strategy in expected.items():
        changes = {"strategy": name, "ignore_below": -1e-3, **KEYS.get(name, {})}
        config = validate(settings({"seed": 7, "pruning": changes}), source="test")
        assert strategy_of(config, LAYERS, store) == strategy


@pytest.mark.parametrize(("nodes", "refused"), [(3, False), (4, True)])
def test_one_node_of_each_layer_stays(nodes: int, refused: bool) -> None:
    if refused:
        with pytest.raises(ModelError, match="at most 3"):
            check_nodes(nodes, LAYERS, where="pruning.nodes")
    else:
        check_nodes(nodes, LAYERS, where="pruning.nodes")
        assert sum(map(len, draw(0, LAYERS, nodes))) == nodes
