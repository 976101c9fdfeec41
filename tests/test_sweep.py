"""Sweeps: their trials against plain runs, their tables against the trials' own files."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import statistics
from collections.abc import Mapping
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest
import yaml

from kvasir_prune.backend import installed
from kvasir_prune.config.sweep import RandomRemoval, load_sweep
from kvasir_prune.experiment.folder import RunFolder
from kvasir_prune.laboratory.draw_store import DrawStore
from kvasir_prune.laboratory.stage_times import DRAWS, StageTimes, times_of
from kvasir_prune.laboratory.trial import trials_of
from kvasir_prune.ledger import run_record
from kvasir_prune.pruning.random_removal import draw
from kvasir_prune.types import LayerSize, LossAccuracy
from tests.cli_runs import (
    DIGITS,
    PATIENCE_S,
    RUN,
    Server,
    assert_same_results,
    call,
    ended_by,
    finish,
    python,
    reach,
    running,
    settings,
    until,
    write_config,
)
from torture.nursery import Nursery

SWEEP: dict[str, Any] = {
    "name": "tiny",
    "run": {key: value for key, value in DIGITS.items() if key not in ("name", "runtime")},
    "settings": {"validation": {}, "train": {"importance.split": "train"}},
    "grid": {"pruning.strategy": ["greedy", "pre_calculated"]},
    "seeds": 2,
}
SETTINGS = [
    f"{split},strategy={strategy}"
    for split in ("validation", "train")
    for strategy in ("greedy", "pre_calculated")
]
DO = ("sweep", "sweep.yaml", "--folder", "out/tiny")


def write_sweep(folder: Path, changes: Mapping[str, Any]) -> None:
    (folder / "sweep.yaml").write_text(yaml.safe_dump({**SWEEP, **changes}), encoding="utf-8")


def table(place: Path, name: str) -> list[dict[str, str]]:
    with (place / "out" / "tiny" / "tables" / f"{name}.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def swept(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder with a finished sweep in `out/tiny`."""
    place = tmp_path_factory.mktemp("swept")
    write_sweep(place, {})
    done = server.call(*DO, cwd=place).succeeded()
    assert done.out == "out/tiny/tables\n"
    return place


def trial(place: Path, setting: str, seed: int) -> Path:
    return place / "out" / "tiny" / "trials" / setting / f"seed-{seed:04d}"


@pytest.mark.parametrize(
    ("setting", "keys"),
    [
        (SETTINGS[0], {}),
        (SETTINGS[3], {"importance.split": "train", "pruning.strategy": "pre_calculated"}),
    ],
)
def test_a_trial_is_the_run_of_its_configuration(
    swept: Path, tmp_path: Path, server: Server, setting, keys
):
    write_config(tmp_path, {**keys, "seed": 1})
    server.call(*RUN, cwd=tmp_path).succeeded()
    assert_same_results(trial(swept, setting, 1), tmp_path / "run", "model.keras")


def test_networks_are_trained_once_for_all_settings(swept: Path):
    assert len(list((swept / "out" / "shared" / "trained").glob("*/model.keras"))) == 2
    models = [trial(swept, setting, 0) / "model.keras" for setting in SETTINGS]
    assert len({model.read_bytes() for model in models}) == 1
    assert not list((swept / "out" / "tiny").rglob("checkpoint.h5"))


def test_importances_are_measured_once_for_all_that_ask_the_same(swept: Path):
    """Two networks, each with the importances on its validation and its training images."""
    assert len(list((swept / "out" / "shared" / "measured").glob("*/*/importance.h5"))) == 4
    times = {(row["setting"].split(",")[0], row["seed"]): set() for row in table(swept, "trials")}
    for row in table(swept, "trials"):
        times[row["setting"].split(",")[0], row["seed"]].add(row["seconds.importance"])
    assert [len(told) for told in times.values()] == [1, 1, 1, 1]


def test_a_trial_with_other_threads_than_its_process_is_refused(
    swept: Path, tmp_path: Path, server: Server
):
    """The server has computed with one thread by now; a backend's number is for good."""
    run = {**SWEEP["run"], "runtime": {"threads": 2}}
    one = {"run": run, "settings": {"one": {}}, "grid": {}, "seeds": 1, "until": "train"}
    write_sweep(tmp_path, one)
    refused = server.call(*DO, cwd=tmp_path)
    assert refused.code == 2
    assert "one/seed-0000: This process has computed with another number of threads" in refused.err
    assert "runtime.threads" in refused.err
    call(*DO, cwd=tmp_path).succeeded()


def test_a_trial_goes_on_with_the_flags_of_its_first_start(tmp_path: Path):
    """They must be back before the backend is loaded, which reads them once."""
    one = {"settings": {"one": {}}, "grid": {}, "seeds": 1}
    write_sweep(tmp_path, {**one, "until": "train"})
    call(*DO, cwd=tmp_path, TF_ENABLE_ONEDNN_OPTS="0").succeeded()
    write_sweep(tmp_path, one)
    asking = """
import os, runpy
from kvasir_prune import backend
def load():
    print("at the import:", os.environ.get("TF_ENABLE_ONEDNN_OPTS"), flush=True)
    os._exit(0)
backend.load = load
runpy.run_module("kvasir_prune", run_name="__main__", alter_sys=True)
"""
    told = python("-c", asking, *DO, cwd=tmp_path)
    assert told.out == "at the import: 0\n", told.err


def test_a_row_holds_what_the_files_of_its_trial_say(swept: Path):
    rows = {(row["setting"], row["seed"]): row for row in table(swept, "trials")}
    assert set(rows) == {(setting, seed) for setting in SETTINGS for seed in "01"}
    row, run = rows[SETTINGS[2], "1"], trial(swept, SETTINGS[2], 1)
    assert (row["importance.split"], row["pruning.strategy"]) == ("train", "greedy")
    record = run_record.read(run / "run.json")
    assert record is not None
    assert row["computed_by"] == (
        f"kvasir_prune code {installed.code_digest()}, keras {keras.__version__}, "
        f"tensorflow {metadata.version('tensorflow')}, numpy {np.__version__}"
    )
    assert row["device"] == record["devices"][0]["device"]
    with h5py.File(run / "importance.h5") as file:
        importances = file["nodes"]["importance"]
    assert int(row["important.dense1"]) == (importances < -1e-5).sum()
    assert int(row["worse.dense1"]) == (importances > 1e-5).sum()
    worse = importances[importances > 1e-5]
    assert float(row["mean_importance_of_worse.dense1"]) == pytest.approx(worse.mean())
    with h5py.File(run / "pruning.h5") as file:
        assert int(row["removed"]) == int(row["removed.dense1"]) == len(file["removed"])
    with h5py.File(run / "evaluation.h5") as file:
        labels, logits = file["test"]["labels"][:], file["test"]["after"][:].astype(np.float64)
    exponents = np.exp(logits - logits.max(axis=1, keepdims=True))
    likelihood = (exponents / exponents.sum(axis=1, keepdims=True))[range(len(labels)), labels]
    assert float(row["test.loss_after"]) == pytest.approx(-np.log(likelihood).mean(), rel=1e-6)
    correct = logits.argmax(axis=1) == labels
    assert float(row["test.accuracy_after"]) == correct.mean()
    assert float(row["test.accuracy_after.3"]) == correct[labels == 3].mean()


def test_the_summary_is_that_of_the_rows(swept: Path):
    summary = {(line["setting"], line["quantity"]): line for line in table(swept, "summary")}
    rows = [row for row in table(swept, "trials") if row["setting"] == SETTINGS[1]]
    for quantity in ("removed", "test.loss_change", "worse.dense1"):
        values = [float(row[quantity]) for row in rows]
        line = summary[SETTINGS[1], quantity]
        assert int(line["count"]) == 2
        assert float(line["mean"]) == pytest.approx(statistics.mean(values))
        assert float(line["std"]) == pytest.approx(statistics.stdev(values))
        quartiles = statistics.quantiles(values, n=4, method="inclusive")
        found = [float(line[name]) for name in ("25%", "50%", "75%")]
        assert found == pytest.approx(quartiles)
        assert (float(line["min"]), float(line["max"])) == (min(values), max(values))


def test_a_finished_sweep_is_left_as_it_is_and_grows(swept: Path, server: Server, tmp_path: Path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "tiny").symlink_to(swept / "out" / "tiny")
    (tmp_path / "out" / "shared").symlink_to(swept / "out" / "shared")
    write_sweep(tmp_path, {})
    before = (trial(swept, SETTINGS[0], 0) / "run.log").read_bytes()
    server.call(*DO, cwd=tmp_path).succeeded()
    assert (trial(swept, SETTINGS[0], 0) / "run.log").read_bytes() == before
    write_sweep(tmp_path, {"seeds": [0, 1, 7], "settings": {"validation": {}}})
    told = server.call(*DO, "--dry-run", cwd=tmp_path)
    told.refused("settings that this one has not", "train,strategy=greedy")
    write_sweep(tmp_path, {"seeds": [0, 1, 7]})
    told = server.call(*DO, "--dry-run", cwd=tmp_path).succeeded()
    assert "12 trials, 8 done" in told.out
    assert "left, one at a time, by the trials that are done." in told.out
    assert not trial(swept, SETTINGS[0], 7).exists()


def test_a_sweep_killed_again_and_again_ends_like_one_left_alone(
    swept: Path, nursery: Nursery, tmp_path: Path
):
    write_sweep(tmp_path, {"seeds": 1})
    trials = tmp_path / "out" / "tiny" / "trials"
    moments = (
        lambda: any((tmp_path / "out" / "shared").glob("trained/*/training/checkpoint.h5")),
        lambda: any(trials.glob("*/*/importance.h5")),
        lambda: len(list(trials.glob("*/*/pruning.h5"))) >= 2,
        lambda: len(list(trials.glob("*/*/evaluation.h5"))) >= 2,
    )
    for moment in moments:
        child = nursery.start(tmp_path, DO)
        reach(moment, child)
        assert ended_by(signal.SIGKILL, child) == -signal.SIGKILL
    finish(nursery, tmp_path, *DO)
    assert rows_without_times(tmp_path) == rows_without_times(swept)


def rows_without_times(place: Path) -> list[dict[str, str]]:
    """Give the rows of the trials of seed 0, in order."""
    rows = [row for row in table(place, "trials") if row["seed"] == "0"]
    assert len(rows) == len(SETTINGS)
    return [{key: row[key] for key in row if not key.startswith("seconds.")} for row in rows]


def test_trials_of_other_versions_are_not_mixed_with_new_ones(
    swept: Path, tmp_path: Path, server: Server
):
    def row() -> dict[str, str]:
        rows = {(row["setting"], row["seed"]): row for row in table(tmp_path, "trials")}
        return rows[SETTINGS[0], "1"]

    shutil.copytree(swept, tmp_path, dirs_exist_ok=True)
    before = row()
    path = trial(tmp_path, SETTINGS[0], 1) / "run.json"
    record = run_record.read(path)
    assert record is not None
    run_record.write(path, {**record, "versions": {**record["versions"], "keras": "3.0.0"}})
    server.call(*DO, cwd=tmp_path).succeeded()
    # The network that it began with is not there: no other one's training counts as its own.
    now = row()
    assert now["network"] != before["network"]
    assert "keras 3.0.0" in now["computed_by"]
    others = {key: now[key] for key in ("network", "computed_by")}
    assert now == {**before, "seconds.train": "", **others}
    write_sweep(tmp_path, {"seeds": 3})
    refused = server.call(*DO, cwd=tmp_path)
    refused.refused("another set of versions", "keras: it has '3.0.0'", "--folder")
    told = server.call(*DO, "--dry-run", "--only", SETTINGS[3], cwd=tmp_path)
    told.refused("another set of versions")
    misused = server.call(*DO, "--tables", "--only", "train*", cwd=tmp_path)
    assert misused.code == 2
    assert "has no effect beside --tables" in misused.err
    server.call(*DO, "--tables", cwd=tmp_path).succeeded()


def test_images_in_two_places_are_two_networks(tmp_path: Path):
    write_sweep(
        tmp_path,
        {
            "run": settings({"data": {"source": "image_folder", "root": "a"}}, SWEEP["run"]),
            "settings": {"a": {}, "b": {"data.root": "b"}},
            "grid": {},
        },
    )
    trials = list(trials_of(load_sweep(tmp_path / "sweep.yaml"), tmp_path, tmp_path))
    assert len({one.trained.path for one in trials}) == 4


def test_the_time_of_a_stage_that_a_kill_cut_is_known_in_part_only(tmp_path: Path):
    folder, stages = RunFolder(tmp_path), ("train", "importance", "prune", DRAWS)
    first = StageTimes(folder, stages)
    first.done("train", 1.0)
    first.done("importance", 2.0)
    second = StageTimes(folder, stages)
    for stage in stages[:-1]:
        second.done(stage, 4.0)
    third = StageTimes(folder, stages)
    third.done(DRAWS, 4.0)
    third.end()
    StageTimes(folder, stages).end()
    assert times_of(folder) == {"train": 5.0, "importance": 6.0, "prune": 4.0, DRAWS: 4.0}
    assert times_of(folder, whole=True) == {"train": 5.0, "importance": 6.0}


def test_some_settings_are_done_before_the_others(swept: Path, server: Server, tmp_path: Path):
    write_sweep(tmp_path, {"seeds": 1})
    refused = server.call(*DO, "--only", "validatio", cwd=tmp_path)
    refused.refused("no setting of that name", "validatio", SETTINGS[0])
    server.call(*DO, "--only", "train*", "--only", SETTINGS[1], cwd=tmp_path).succeeded()
    assert {row["setting"] for row in table(tmp_path, "trials")} == set(SETTINGS[1:])
    server.call(*DO, cwd=tmp_path).succeeded()
    assert rows_without_times(tmp_path) == rows_without_times(swept)


def test_published_results_that_cannot_be_used_are_told_before_anything_is_done(
    server: Server, tmp_path: Path
):
    write_sweep(tmp_path, {"published": "nowhere.csv"})
    server.call(*DO, cwd=tmp_path).refused("published results", "nowhere.csv")
    assert not (tmp_path / "out" / "tiny" / "trials").exists()


def test_the_help_names_the_optional_package_whole(server: Server, tmp_path: Path):
    assert "'kvasir-prune[ray]'" in server.call("sweep", "--help", cwd=tmp_path).succeeded().out


def test_tables_are_to_be_had_at_any_time(server: Server, swept: Path, tmp_path: Path):
    write_sweep(tmp_path, {"seeds": 3})
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "tiny").symlink_to(swept / "out" / "tiny")
    (tmp_path / "out" / "shared").symlink_to(swept / "out" / "shared")
    server.call(*DO, "--tables", cwd=tmp_path).succeeded()
    assert len(table(tmp_path, "trials")) == 8


def test_one_trial_that_cannot_be_done_does_not_stop_the_others(server: Server, tmp_path: Path):
    changes = {
        "settings": {"good": {}, "bad": {"training.optimizer.learning_rate": 1e30}},
        "grid": {},
        "seeds": 1,
        "until": "train",
        "run": settings({"training.optimizer.name": "sgd"}, SWEEP["run"]),
    }
    write_sweep(tmp_path, changes)
    done = server.call(*DO, cwd=tmp_path)
    assert done.code == 2
    assert "bad/seed-0000: The training has diverged" in done.err
    assert [row["setting"] for row in table(tmp_path, "trials")] == ["good"]


@pytest.mark.parametrize(
    ("changes", "facts"),
    [
        ({"grid": {"pruning.strategi": ["greedy"]}}, ("pruning.strategi", '"strategy"')),
        ({"grid": {"model.nodez": [8]}}, ("model.nodez",)),
        ({"grid": {"pruning.strategy": []}}, ("grid.pruning.strategy", "at least 1")),
        ({"grid": {"pruning.strategy": ["greedy", "greedy"]}}, ("more than once", "greedy")),
        ({"grid": {"pruning.strategy": ["gredy"]}}, ("pruning.strategy", "gredy", "greedy")),
        ({"seeds": [3, 1, 3]}, ("seeds", "3 stands there more than once")),
        ({"seeds": []}, ("seeds",)),
        ({"seeds": -1}, ("seeds", "-1")),
        ({"run": {**SWEEP["run"], "seed": 3}}, ("run.seed", "by the sweep itself")),
        ({"run": "nowhere.yaml"}, ("nowhere.yaml", "cannot be read")),
        ({"run": {**SWEEP["run"], "modell": {}}}, ("run.modell", '"model"')),
        ({"settings": {"../up": {}}}, ("../up", "no name for a folder")),
        ({"settings": {"a": {}, "A": {}}}, ("shares its folder",)),
        ({"until": "prunning"}, ("until", '"prune"')),
        ({"sedes": 3}, ("sedes", '"seeds"')),
    ],
)
def test_a_wrong_sweep_is_refused_by_name(server: Server, tmp_path: Path, changes, facts):
    write_sweep(tmp_path, changes)
    server.call(*DO, cwd=tmp_path).refused(*facts)
    assert not (tmp_path / "out").exists()


def test_other_folders_are_not_taken(server: Server, tmp_path: Path):
    write_sweep(tmp_path, {})
    place = tmp_path / "out" / "tiny"
    place.mkdir(parents=True)
    (place / "thesis.docx").write_text("precious")
    server.call(*DO, cwd=tmp_path).refused("is no sweep", "thesis.docx", "--folder")
    assert [path.name for path in place.iterdir()] == ["thesis.docx"]


def test_another_sweeps_folder_is_refused_with_what_differs(
    swept: Path, server: Server, tmp_path: Path
):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "tiny").symlink_to(swept / "out" / "tiny")
    write_sweep(tmp_path, {"run": settings({"training.max_epochs": 4}, SWEEP["run"])})
    refused = server.call(*DO, cwd=tmp_path)
    refused.refused("another sweep", "training.max_epochs: it has 3, now it is 4", "--folder")


@pytest.mark.parametrize(
    ("address", "fact"),
    [("127.0.0.1:1", "refused"), ("nowhere", "HOST:PORT"), ("host:seven", "seven")],
)
def test_a_cluster_that_does_not_answer_is_told(server: Server, tmp_path: Path, address, fact):
    pytest.importorskip("ray", reason="Ray is not installed")
    write_sweep(tmp_path, {})
    told = server.call(*DO, "--address", address, cwd=tmp_path)
    told.refused("does not answer", address, fact)


def test_more_gpus_than_any_machine_has_are_told(server: Server, tmp_path: Path):
    pytest.importorskip("ray", reason="Ray is not installed")
    write_sweep(tmp_path, {})
    told = server.call(*DO, "--gpus-per-trial", "64", cwd=tmp_path)
    told.refused("more GPUs than any machine", "found: 64", "--gpus-per-trial")


def test_a_trial_that_memory_does_not_suffice_for_is_given_up(tmp_path: Path):
    """Ray ends workers while more than a share of the memory is taken; left alone, for ever."""
    pytest.importorskip("ray", reason="Ray is not installed")
    write_sweep(tmp_path, {"settings": {"one": {}}, "grid": {}, "seeds": 1})
    scarce = {"RAY_memory_usage_threshold": "0.0001", "RAY_task_oom_retries": "1"}
    told = call(*DO, "--workers", "2", cwd=tmp_path, **scarce)
    assert told.code == 2
    assert "one/seed-0000: Ray ended its worker again and again, because the memory" in told.err
    assert "--workers" in told.err
    assert told.out == "out/tiny/tables\n"
    assert len(told.err.splitlines()) < 20


def test_workers_killed_in_the_middle_go_on_from_their_ledgers(swept: Path, tmp_path: Path):
    """Ray starts a trial again whose worker died, in the same sweep."""
    pytest.importorskip("ray", reason="Ray is not installed")
    write_sweep(tmp_path, {"seeds": 1})
    trials = tmp_path / "out" / "tiny" / "trials"
    killed: list[int] = []

    def kill_one() -> bool:
        for path in trials.glob("*/*/.owner.json"):
            with suppress(FileNotFoundError, ProcessLookupError):
                worker = int(json.loads(path.read_text())["process"])
                if worker not in killed:
                    os.kill(worker, signal.SIGKILL)
                    killed.append(worker)
                    return True
        return False

    with running(*DO, "--workers", "2", cwd=tmp_path) as sweep:
        for moment in ("*/*/importance.h5", "*/*/evaluation.h5"):
            until(lambda moment=moment: any(trials.glob(moment)) and kill_one(), sweep)
        _, err = sweep.communicate(timeout=PATIENCE_S)
    assert sweep.returncode == 0, err
    assert len(set(killed)) == 2
    assert rows_without_times(tmp_path) == rows_without_times(swept)
    for setting in SETTINGS:
        on_ray, alone = (record_of(place, setting) for place in (tmp_path, swept))
        assert on_ray["environment"] == alone["environment"]


def record_of(place: Path, setting: str) -> dict[str, Any]:
    record = run_record.read(trial(place, setting, 0) / "run.json")
    assert record is not None
    return record


def test_nodes_removed_at_random_are_measured_as_the_thesis_does(server: Server, tmp_path: Path):
    """Against Algorithm 1: incoming weights and bias of the drawn nodes set to zero, evaluated."""
    write_sweep(
        tmp_path,
        {
            "settings": {},
            "grid": {},
            "seeds": [3],
            "until": "train",
            "random_removal": {"nodes": [1, 32], "repetitions": 12},
        },
    )
    server.call(*DO, cwd=tmp_path).succeeded()
    run = trial(tmp_path, "run", 3)
    with h5py.File(run / "random_removal.h5") as file:
        draws = file["draws"][:]
    assert [(row["nodes"], row["number"]) for row in draws] == [
        (nodes, number) for nodes in (1, 32) for number in range(12)
    ]
    assert len(np.unique(draws["loss"][12:])) == 12

    with (run / "split.csv").open(newline="") as file:
        listed = list(csv.DictReader(file))
    rows = [place for place, line in enumerate(listed) if line["split"] == "test"]
    labels = np.array([int(listed[row]["class"]) for row in rows])
    images = np.load(run / "cache" / "images.npy")[rows]
    model = keras.models.load_model(run / "model.keras")
    model.compile(loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    hidden, whole = model.get_layer("dense1"), model.get_weights()
    for row in (draws[0], draws[-1]):
        (drawn,) = draw(3, [LayerSize("dense1", 128)], int(row["nodes"]), int(row["number"]))
        kernel, bias = hidden.get_weights()
        kernel[:, list(drawn)], bias[list(drawn)] = 0, 0
        hidden.set_weights([kernel, bias])
        loss, accuracy = model.evaluate(images, labels, verbose=0)
        assert row["loss"] == pytest.approx(loss, rel=1e-5)
        assert row["accuracy"] == pytest.approx(accuracy)
        model.set_weights(whole)
    (line,) = [
        line
        for line in table(tmp_path, "random_removal")
        if (line["nodes"], line["quantity"]) == ("32", "loss")
    ]
    of_32 = draws["loss"][draws["nodes"] == 32]
    assert (line["setting"], line["seed"], line["count"]) == ("run", "3", "12")
    assert float(line["mean"]) == pytest.approx(of_32.mean())
    assert float(line["std"]) == pytest.approx(of_32.std(ddof=1))


def test_draws_remember_how_small_their_steps_had_become(tmp_path: Path) -> None:
    path, asked = tmp_path / "random_removal.h5", RandomRemoval(nodes=[1], repetitions=3)
    store = DrawStore(path, {"weights": "a"})
    store.record(1, 0, LossAccuracy(1.0, 0.5))
    store.halvings = 2
    store.commit()
    again = DrawStore(path, {"weights": "a"})
    assert (again.missing(asked), again.halvings) == (((1, 1), (1, 2)), 2)
    others = DrawStore(path, {"weights": "b"})
    assert (len(others.missing(asked)), others.halvings, others.is_foreign) == (3, 0, True)


def test_more_draws_go_on_from_those_that_are_there_and_damaged_ones_are_kept(
    server: Server, tmp_path: Path
) -> None:
    changes = {"settings": {}, "grid": {}, "until": "train", "seeds": 1}
    path = trial(tmp_path, "run", 0) / "random_removal.h5"

    def draws(nodes: list[int], repetitions: int) -> dict[tuple[int, int], float]:
        asked = {"nodes": nodes, "repetitions": repetitions}
        write_sweep(tmp_path, {**changes, "random_removal": asked})
        server.call(*DO, cwd=tmp_path).succeeded()
        with h5py.File(path) as file:
            rows = file["draws"][:]
        return {(row["nodes"], row["number"]): row["loss"] for row in rows}

    few = draws([2], 3)
    many = draws([1, 2], 5)
    assert set(many) == {(nodes, number) for nodes in (1, 2) for number in range(5)}
    assert {place: many[place] for place in few} == few
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert draws([1, 2], 5) == many
    assert path.with_name("random_removal.damaged-1.h5").read_bytes() == content


def test_too_many_nodes_to_draw_are_told(server: Server, tmp_path: Path):
    changes = {"settings": {}, "grid": {}, "until": "train", "seeds": 1}
    write_sweep(tmp_path, {**changes, "random_removal": {"nodes": [128], "repetitions": 2}})
    done = server.call(*DO, cwd=tmp_path)
    assert done.code == 2
    assert "random_removal.nodes" in done.err
    assert "at most 127" in done.err


@pytest.mark.parametrize("judged", [False, True])
def test_trials_share_a_network_unless_its_training_looks_at_what_they_vary(
    tmp_path: Path, judged: bool
):
    asked = {"training.rerandomisation": {}} if judged else {}
    write_sweep(tmp_path, {"run": settings(asked, SWEEP["run"]), "seeds": 1})
    trials = list(trials_of(load_sweep(tmp_path / "sweep.yaml"), tmp_path, tmp_path))
    trained = {one.config.importance.split: one.trained.path for one in trials}
    assert len({one.trained.path for one in trials}) == len(set(trained.values()))
    assert len(set(trained.values())) == (2 if judged else 1)
