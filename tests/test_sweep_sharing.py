"""Importances that trials share: whose they may be, and what becomes of them when somebody dies.

What tells is a mark: an accuracy in a shared file that no network here has.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from kvasir_prune.config.sweep import load_sweep
from kvasir_prune.experiment.folder import RunFolder
from kvasir_prune.importance.store import ImportanceStore, Measurement
from kvasir_prune.laboratory.shared_importance import place_of
from kvasir_prune.laboratory.stage_times import times_of
from kvasir_prune.laboratory.trial import Trial, trials_of, waiting_least
from kvasir_prune.ledger.identity import origin
from tests.cli_runs import PATIENCE_S, Server, running, settings, until
from tests.test_sweep import SWEEP, write_sweep

ONE: dict[str, Any] = {"grid": {}, "seeds": 1, "until": "importance"}
MARK = 0.123
RECORD: dict[str, Any] = {
    "command": "",
    "created": "now",
    "identity": {},
    "files": {},
    "starts": [],
    "digests": {"config": "c", "split": "s", "pixels": "p", "weights": "w"},
    "versions": {"python": "3"},
    "threads": 1,
    "environment": {"TF_ENABLE_ONEDNN_OPTS": None},
    "devices": [{"device": {"name": "a"}}],
}


def trial(place: Path, changes: Mapping[str, Any], **sweep: Any) -> Trial:
    run = settings(changes, SWEEP["run"])
    write_sweep(place, {**ONE, "settings": {"one": {}}, "run": run, **sweep})
    folder = place / "out"
    return next(trials_of(load_sweep(place / "sweep.yaml"), folder / "tiny", folder / "shared"))


@pytest.mark.parametrize(
    ("changes", "is_same"),
    [
        ({"pruning.strategy": "exhaustive"}, True),
        ({"importance.low": -1e-4, "importance.high": 0.5}, True),
        ({"evaluation.batch_size": 7}, True),
        ({"importance.split": "train"}, False),
        ({"importance.batch_size": 7}, False),
        ({"importance.scorer": "reference"}, False),
        ({"pruning.verify_every": 7}, False),
        ({"training.max_epochs": 4}, False),
    ],
)
def test_who_asks_for_the_same_importances(tmp_path: Path, changes, is_same: bool):
    usual = trial(tmp_path, {}).measured
    assert (trial(tmp_path, changes).measured == usual) == is_same


@pytest.mark.parametrize(
    ("changes", "is_same"),
    [
        ({"digests": {**RECORD["digests"], "config": "other"}}, True),
        ({"created": "later"}, True),
        ({"digests": {**RECORD["digests"], "split": "other"}}, False),
        ({"digests": {**RECORD["digests"], "pixels": "other"}}, False),
        ({"digests": {**RECORD["digests"], "weights": "other"}}, False),
        ({"versions": {"python": "4"}}, False),
        ({"threads": 2}, False),
        ({"environment": {"TF_ENABLE_ONEDNN_OPTS": "0"}}, False),
        ({"devices": [{"device": {"name": "b"}}]}, False),
    ],
)
def test_who_would_find_the_same_bits(changes, is_same: bool):
    places = {place_of(Path("shared"), record) for record in (RECORD, {**RECORD, **changes})}
    assert (len(places) == 1) == is_same


class Lab:
    """A folder with one trial that has measured, and sweeps of others on the same network."""

    def __init__(self, place: Path, server: Server) -> None:
        self.place, self.server = place, server
        self.first = self.measures("first")
        self.shared = place_of(self.first.measured, self.record(self.first.folder))
        self.found = ImportanceStore(self.first.folder.importance)

    def record(self, folder: RunFolder) -> Mapping[str, Any]:
        record = folder.read_record()
        assert record is not None
        return record

    def write(self, name: str, **changes: Any) -> Trial:
        write_sweep(self.place, {**ONE, "settings": {name: {}}, **changes})
        sweep = load_sweep(self.place / "sweep.yaml")
        return next(trials_of(sweep, self.folder(name) / "trials", self.place / "out" / "shared"))

    def folder(self, name: str) -> Path:
        return self.place / "out" / name

    def command(self, name: str) -> tuple[object, ...]:
        return "sweep", "sweep.yaml", "--folder", self.folder(name)

    def measures(self, name: str, **changes: Any) -> Trial:
        done = self.write(name, **changes)
        self.server.call(*self.command(name), cwd=self.place).succeeded()
        return done

    def finds(self, name: str) -> tuple[Measurement, ...]:
        folder = self.measures(name).folder
        store = ImportanceStore(folder.importance)
        assert store.identity == origin(self.record(folder))
        return store.measured

    def mark(self, path: Path, measured: tuple[Measurement, ...]) -> tuple[Measurement, ...]:
        store = ImportanceStore(path)
        store._measured = (replace(measured[0], accuracy=MARK), *measured[1:])
        store.commit()
        return store.measured


def seconds_in(folder: RunFolder) -> float | None:
    return times_of(folder, whole=True).get("importance")


@pytest.fixture
def lab(tmp_path: Path, server: Server) -> Lab:
    return Lab(tmp_path, server)


def test_what_one_has_measured_the_others_adopt(lab: Lab):
    shared = ImportanceStore(lab.shared.importance)
    assert (shared.measured, shared.baseline) == (lab.found.measured, lab.found.baseline)
    marked = lab.mark(lab.shared.importance, lab.found.measured)
    assert lab.finds("other") == marked
    asked = {**SWEEP["run"], "importance": {"low": -1e-4, "high": 0.25}}
    classified = lab.measures("classified", run=asked).folder
    store = ImportanceStore(classified.importance)
    assert (store.measured, store.low, store.high) == (marked, -1e-4, 0.25)
    assert seconds_in(classified) == seconds_in(lab.first.folder) is not None


def test_a_damaged_shared_file_is_measured_anew(lab: Lab):
    path = lab.shared.importance
    lab.mark(path, lab.found.measured)
    path.write_bytes(path.read_bytes()[:-100])
    assert lab.finds("other") == lab.found.measured
    assert ImportanceStore(path).measured == lab.found.measured


def test_a_damaged_adopted_file_goes_back(lab: Lab):
    adopted = lab.measures("other").folder.importance
    adopted.write_bytes(adopted.read_bytes()[:-100])
    lab.measures("other", until="prune")
    assert ImportanceStore(adopted).measured == lab.found.measured


def test_another_runs_file_is_refused_still(lab: Lab):
    strategy = settings({"pruning.strategy": "pre_calculated"}, SWEEP["run"])
    other = lab.measures("other", run=strategy, until="train").folder
    other.importance.write_bytes(lab.first.folder.importance.read_bytes())
    lab.write("other", run=strategy, until="prune")
    refused = lab.server.call(*lab.command("other"), cwd=lab.place)
    assert refused.code == 2
    assert "The file belongs to another run" in refused.err


def test_what_a_dead_measurer_has_measured_is_not_lost(lab: Lab):
    """Killed in the middle, and another trial gets the lock first."""
    half = len(lab.found.measured) // 2
    lab.shared.importance.unlink()
    marked = lab.mark(lab.first.folder.importance, lab.found.measured[:half])
    found = lab.finds("other")
    assert found == (*marked, *lab.found.measured[half:])
    # Who comes back to his own half adopts the whole, and nobody knows how long it took.
    lab.measures("first")
    assert ImportanceStore(lab.first.folder.importance).measured == found
    assert seconds_in(lab.first.folder) is None


def test_a_measurers_folder_in_which_something_else_is_measured_by_now_tells_nothing(lab: Lab):
    lab.shared.importance.unlink()
    shutil.rmtree(lab.folder("first"))
    on_others = settings({"importance.split": "train"}, SWEEP["run"])
    other = lab.measures("first", run=on_others)
    assert other.folder == lab.first.folder
    assert lab.finds("other") == lab.found.measured


def test_who_was_killed_before_he_could_share_shares_later(lab: Lab):
    lab.shared.importance.unlink()
    took = seconds_in(lab.first.folder)
    lab.measures("first", until="prune")
    assert ImportanceStore(lab.shared.importance).measured == lab.found.measured
    told = seconds_in(lab.shared)
    assert took is not None
    assert told is not None
    assert told >= took


@pytest.mark.parametrize("change", ["devices", "halvings"])
def test_what_others_would_not_have_found_is_not_shared(lab: Lab, change: str):
    lab.shared.importance.unlink()
    store = ImportanceStore(lab.first.folder.importance)
    marked = lab.mark(lab.first.folder.importance, lab.found.measured)
    if change == "halvings":
        store = ImportanceStore(lab.first.folder.importance)
        store.halvings = {store.layers[0].name: 1}
        store.commit()
    else:
        record = lab.record(lab.first.folder)
        lab.first.folder.write_record({**record, "devices": record["devices"] * 2})
    assert marked != lab.found.measured
    assert lab.finds("other") == lab.found.measured
    lab.shared.importance.unlink()
    lab.measures("first", until="prune")
    assert not lab.shared.importance.exists()


def test_whoever_needs_what_is_being_measured_waits_for_it(lab: Lab):
    shared = lab.shared.importance
    marked = lab.mark(shared, lab.found.measured)
    content = shared.read_bytes()
    shared.unlink()
    other = lab.write("other")
    with running(*lab.command("other"), cwd=lab.place) as process:
        with FileLock(lab.shared.path / ".lock"):
            log = other.folder.log
            until(lambda: log.exists() and "waiting for=" in log.read_text(), process)
            assert not other.folder.importance.exists()
            shared.write_bytes(content)
        _, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, err
    assert ImportanceStore(other.folder.importance).measured == marked
    # A start after it makes the wait a stop, which no report tells as work.
    assert len(lab.record(other.folder)["starts"]) == 2


def test_trials_done_at_once_begin_with_different_networks(tmp_path: Path):
    """By hand: of five seeds of two settings on one network each, two at once."""
    write_sweep(tmp_path, {**ONE, "seeds": 5})
    trials = list(trials_of(load_sweep(tmp_path / "sweep.yaml"), tmp_path, tmp_path))
    for at_once, expected in (
        (1, "t0 v0 t1 v1 t2 v2 t3 v3 t4 v4"),
        (2, "t0 t1 v0 v1 t2 t3 v2 v3 t4 v4"),
        (9, "t0 t1 t2 t3 t4 v0 v1 v2 v3 v4"),
    ):
        found = waiting_least(trials, at_once)
        assert [f"{one.setting[0]}{one.config.seed}" for one in found] == expected.split()
