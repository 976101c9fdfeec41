"""Initial weights drawn anew (thesis Algorithm 7), against the reference scorer."""

from __future__ import annotations

import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import pytest

from kvasir_prune.config import validate
from kvasir_prune.experiment import rerandomising
from kvasir_prune.experiment.folder import RunFolder
from kvasir_prune.experiment.rerandomising import rerandomise
from kvasir_prune.importance.reference import ReferenceScorer
from kvasir_prune.importance.scoring_set import ScoringSet
from kvasir_prune.models import read_chain
from kvasir_prune.progress import Silent
from tests.cli_runs import Server, settings, write_config

IMAGES = np.random.default_rng(0).integers(0, 256, (60, 4, 4, 1)).astype(np.uint8)
LABELS = (IMAGES.reshape(60, -1).mean(axis=1) > 127).astype(np.int64)
SCORING_SET = ScoringSet(IMAGES, np.arange(60), LABELS)
LOW = -1e-5


def network() -> keras.Model:
    keras.utils.set_random_seed(3)
    return keras.Sequential(
        [
            keras.layers.Input((4, 4, 1)),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Conv2D(6, 3, activation="relu", name="a"),
            keras.layers.Flatten(),
            keras.layers.Dense(8, activation="relu", name="b"),
            keras.layers.Dense(2, name="out"),
        ]
    )


def under_way(folder: Path, minimum: float, tries: int) -> Any:
    asked = {"minimum_important": minimum, "tries": tries}
    changes = {"training.rerandomisation": asked, "importance.batch_size": 60, "seed": 0}
    config = validate(settings(changes), source="test")
    files = RunFolder(folder)
    files.training.mkdir(parents=True)
    return SimpleNamespace(
        config=config,
        folder=files,
        origin={"config": "a"},
        progress=Silent(),
        scoring_set=lambda _: SCORING_SET,
    )


def unimportant(model: keras.Model, layer: str) -> set[int]:
    scorer = ReferenceScorer(read_chain(model), SCORING_SET, batch_size=60, memory_budget_gib=1.0)
    baseline, nodes = scorer.evaluate({}).loss, read_chain(model).find(layer).nodes
    scores = scorer.score(layer, {}, range(nodes))
    return {score.node for score in scores if baseline - score.loss >= LOW}


def test_one_draw_changes_the_weights_of_unimportant_nodes_and_no_others(tmp_path: Path) -> None:
    model = network()
    before = {name: model.get_layer(name).get_weights() for name in ("a", "b", "out")}
    gone = sorted(unimportant(model, "a"))
    kept = [node for node in range(6) if node not in gone]
    assert gone
    assert kept
    run = under_way(tmp_path / "run", 0.99, 1)
    first, _ = rerandomise(run, model, run.config.training.rerandomisation)
    assert first["important_at_first"] == pytest.approx(len(kept) / 6)
    a, b = (model.get_layer(name).get_weights() for name in ("a", "b"))
    assert first["important"] > first["important_at_first"], "otherwise the old weights stay"
    assert (a[0][..., kept] == before["a"][0][..., kept]).all()
    assert (a[0][..., gone] != before["a"][0][..., gone]).all()
    incoming, outgoing = math.sqrt(6 / (9 * (1 + 6))), math.sqrt(6 / (4 * 6 + 8))
    assert np.abs(a[0][..., gone]).max() <= incoming
    by_node, old = (kernel.reshape(4, 6, 8) for kernel in (b[0], before["b"][0]))
    assert (by_node[:, gone] != old[:, gone]).all()
    assert np.abs(by_node[:, gone]).max() <= outgoing
    assert np.abs(by_node[:, gone]).max() > 0.8 * outgoing
    assert (by_node[:, kept] == old[:, kept]).all()
    assert (a[1] == 0).all()


def test_it_ends_with_as_many_important_nodes_as_it_says(tmp_path: Path) -> None:
    model = network()
    run = under_way(tmp_path / "run", 0.6, 200)
    found = rerandomise(run, model, run.config.training.rerandomisation)
    assert [layer["layer"] for layer in found] == ["a", "b"]
    last = found[-1]
    assert last["reached"]
    assert last["important"] == pytest.approx(1 - len(unimportant(model, "b")) / 8)
    assert last["important"] > 0.6
    again, run = network(), under_way(tmp_path / "another", 0.6, 200)
    assert rerandomise(run, again, run.config.training.rerandomisation) == found
    for one, other in zip(model.get_weights(), again.get_weights(), strict=True):
        assert (one == other).all()


def test_where_the_tries_do_not_suffice_the_best_one_stays(tmp_path: Path) -> None:
    model = network()
    run = under_way(tmp_path / "run", 0.999, 7)
    found = rerandomise(run, model, run.config.training.rerandomisation)
    for layer in found:
        assert layer["important"] >= layer["important_at_first"]
        assert layer["tries"] == 7 or layer["reached"]
    assert found[-1]["important"] == pytest.approx(1 - len(unimportant(model, "b")) / 8)


def test_killed_anywhere_it_goes_on_behind_the_last_try(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measure, measured = rerandomising._unimportant, 0
    left: float = math.inf

    def until_killed(*arguments: Any) -> tuple[int, ...]:
        nonlocal left, measured
        left, measured = left - 1, measured + 1
        if left < 0:
            raise KeyboardInterrupt
        return measure(*arguments)

    monkeypatch.setattr(rerandomising, "_unimportant", until_killed)
    whole, run = network(), under_way(tmp_path / "whole", 0.999, 4)
    asked = run.config.training.rerandomisation
    expected, measurements = rerandomise(run, whole, asked), measured
    assert measurements == sum(1 + layer["tries"] for layer in expected) > 5
    for killed_at in range(measurements):
        run = under_way(tmp_path / f"killed-{killed_at}", 0.999, 4)
        left, measured = killed_at, 0
        with pytest.raises(KeyboardInterrupt):
            rerandomise(run, network(), asked)
        left, model = math.inf, network()
        assert rerandomise(run, model, asked) == expected
        assert measured == measurements + 1
        for one, other in zip(model.get_weights(), whole.get_weights(), strict=True):
            assert (one == other).all()


def test_a_run_begins_with_the_weights_that_were_drawn(server: Server, tmp_path: Path) -> None:
    """The steps of the training are too small to change a weight."""
    still = {"name": "sgd", "learning_rate": 1e-30}
    asked = {"minimum_important": 0.99, "tries": 1}
    changes = {"training": {"max_epochs": 1, "optimizer": still}}
    write_config(tmp_path, changes)
    server.call("train", "config.yaml", "--run-dir", "plain", cwd=tmp_path).succeeded()
    changes["training"]["rerandomisation"] = asked
    write_config(tmp_path, changes)
    done = server.call("train", "config.yaml", "--run-dir", "drawn", cwd=tmp_path).succeeded()
    assert "tries: 1" in done.err
    plain, drawn = (
        keras.models.load_model(tmp_path / name / "model.keras").get_layer("dense1").get_weights()
        for name in ("plain", "drawn")
    )
    (told,) = json.loads((tmp_path / "drawn" / "training" / "initial_weights.json").read_text())
    changed = (plain[0] != drawn[0]).any(axis=0)
    assert changed.mean() == pytest.approx(1 - told["important_at_first"])
    assert 0 < changed.sum() < 128
    assert not (tmp_path / "drawn" / "training" / "initial_weights.partial.h5").exists()
