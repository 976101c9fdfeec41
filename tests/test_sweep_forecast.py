"""What a dry run promises: by hand counts, and without a trace."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kvasir_prune.config.sweep import load_sweep
from kvasir_prune.laboratory.estimate import seconds_of_epochs
from kvasir_prune.laboratory.forecast import Estimate, Forecast, Forecaster
from kvasir_prune.laboratory.stopwatch import extrapolated
from kvasir_prune.laboratory.trial import Trial, trials_of
from tests.cli_runs import PATIENCE_S, Server, call, running, until
from tests.test_sweep import DO, SWEEP, write_sweep

LONG = {"run": {**SWEEP["run"], "training": {"max_epochs": 100_000}}, "settings": {"one": {}}}


def forecast(
    done: list[Trial], missing: list[Trial], workers: int, estimates: Mapping[str, Estimate]
) -> Forecast:
    forecaster = Forecaster(done, missing)
    forecaster.add(estimates)
    return forecaster.forecast(workers)


def unknown_settings(done: list[Trial], missing: list[Trial]) -> dict[str, Trial]:
    return Forecaster(done, missing).unknown_settings()


def two_settings(folder: Path, **changes: Any) -> list[Trial]:
    """Give three seeds of two settings that share their networks."""
    write_sweep(folder, {"grid": {}, "seeds": 3, "until": "importance", **changes})
    return list(trials_of(load_sweep(folder / "sweep.yaml"), folder / "t", folder / "s"))


def took(trial: Trial, seconds: Mapping[str, float], **more: Any) -> None:
    trial.folder.path.mkdir(parents=True, exist_ok=True)
    (trial.folder.path / "times.json").write_text(json.dumps({"seconds": seconds, **more}))


def trained(trial: Trial, seconds: float) -> None:
    trial.trained.path.mkdir(parents=True)
    trial.trained.model.write_bytes(b"")
    content = {"seconds": {"data": 1.0, "train": seconds - 1.0}}
    (trial.trained.path / "times.json").write_text(json.dumps(content))


def measured(trial: Trial) -> None:
    (trial.measured / "a device").mkdir(parents=True)
    (trial.measured / "a device" / "importance.h5").write_bytes(b"")


def test_trials_and_networks_take_as_long_as_those_that_are_done(tmp_path: Path):
    """By hand: two of each setting in 1 s, their importances in 2 and 4 s, two networks in 30 s.

    Of one network somebody has measured what the first setting asks for.
    """
    trials = two_settings(tmp_path)
    took(trials[0], {"data": 0.5, "train": 0.5, "importance": 2.0})
    took(trials[1], {"data": 0.5, "train": 0.5, "importance": 4.0})
    trained(trials[0], 30.0)
    done, missing = trials[:2], trials[2:]
    assert unknown_settings(done, missing) == {}
    assert forecast(done, missing, 2, {}) == Forecast((4 * 1 + 2 * 2 + 2 * 4 + 2 * 30) / 2, 0)
    measured(trials[2])
    assert forecast(done, missing, 2, {}) == Forecast((4 * 1 + 1 * 2 + 2 * 4 + 2 * 30) / 2, 0)


def test_a_setting_of_which_nothing_is_done_is_estimated_by_itself(tmp_path: Path):
    """By hand: two of 1 + 2 s, three of 100 s, two networks of 30 s, and importances in 7 s, once.

    Those of one network are there, and the two other trials ask for the same.
    """
    trials = two_settings(tmp_path)
    took(trials[0], {"train": 1.0, "importance": 2.0})
    trained(trials[0], 30.0)
    measured(trials[3])
    trials[5] = replace(trials[5], measured=trials[1].measured)
    done, missing = trials[:1], trials[1:]
    ((group, first),) = unknown_settings(done, missing).items()
    assert (group, first) == ("validation", trials[1])
    found = forecast(done, missing, 1, {"validation": Estimate(40.0, 7.0, 100.0)})
    assert found.seconds == pytest.approx(2 * 3 + 3 * 100 + 2 * 30 + 7)


def test_an_estimate_does_not_replace_what_is_known(tmp_path: Path):
    """By hand: two others take 1 s each, 50 for importances and 30 for a network."""
    trials = two_settings(tmp_path, settings={"one": {}})
    took(trials[0], {"train": 1.0, "importance": 50.0})
    guessed = {"one": Estimate(30.0, 1000.0, 1000.0)}
    assert forecast(trials[:1], trials[1:], 1, guessed) == Forecast(2 * (1 + 50 + 30), 0)


def test_a_trial_of_which_a_part_is_not_known_promises_nothing(tmp_path: Path):
    trials = two_settings(tmp_path, random_removal={"repetitions": 2})
    trained(trials[0], 30.0)
    for times in (
        {"seconds": {"train": 1.0, "importance": 2.0}},
        {
            "seconds": {"train": 1.0, "importance": 2.0, "random_removal": 1.0},
            "interrupted": ["importance"],
        },
    ):
        took(trials[0], **times)
        assert set(unknown_settings(trials[:1], trials[2:])) == {"validation", "train"}


def test_more_workers_than_trials_are_no_faster_than_the_longest_of_them(tmp_path: Path):
    """Three networks of 30 s, and three trials of 0.4 + 0.6 s and three of 2 s on them."""
    trials = two_settings(tmp_path)
    known = {"validation": Estimate(30.0, 0.4, 0.6)}
    assert forecast([], trials, 3, known) == Forecast((3 * 30 + 3) / 3, 3)
    both = {**known, "train": Estimate(30.0, 0.0, 2.0)}
    assert forecast([], trials, 3, both) == Forecast((3 * 30 + 9) / 3, 0)
    assert forecast([], trials, 100, both) == Forecast(32.0, 0)
    assert forecast([], trials, 100, {}) == Forecast(0.0, 6)


@pytest.mark.parametrize(
    ("calls", "seconds"),
    [
        ([(16, 5.0), (16, 1.6), (16, 3.2), (4, 0.4), (16, 1.6)], 5 + 84 * 0.1),
        ([(16, 1.6)], 1.6 + 84 * 0.1),
        ([(160, 8.0)], 8.0),
    ],
)
def test_the_first_call_pays_for_what_is_compiled(calls, seconds: float):
    """Of 100 steps; one call of 16 that took twice as long as the others is not usual."""
    assert extrapolated(calls, 100) == pytest.approx(seconds)
    assert seconds_of_epochs([], calls, 10, 10) == pytest.approx(seconds)


def test_whole_epochs_tell_more_than_steps():
    """Validation and checkpoint are in them, which a step does not know of."""
    steps = [(1, 2.0), (1, 0.1), (1, 0.1)]
    assert seconds_of_epochs([3.0, 0.5, 0.7], steps, 10, 1) == pytest.approx(3.0 + 9 * 0.6)


def test_a_dry_run_times_what_nobody_has_done_and_leaves_nothing(tmp_path: Path):
    changes = {"seeds": [0, 1, 7], "random_removal": {"nodes": [1, 8], "repetitions": 20}}
    write_sweep(tmp_path, {**changes, "until": "report"})
    places = {"TMPDIR": str(tmp_path / "tmp")}
    (tmp_path / "tmp").mkdir()
    told = call(*DO, "--dry-run", "--only", "validation*", cwd=tmp_path, **places).succeeded()
    assert "6 trials, 0 done; they share 3 trained networks." in told.out
    assert "0-1, 7" in told.out
    assert "train,strategy" not in told.out
    assert "left, one at a time, by what was timed of their first seconds." in told.out
    assert "Not counted: the reports." in told.out
    assert not (tmp_path / "out").exists()
    assert not list((tmp_path / "tmp").iterdir())


@pytest.mark.parametrize(
    ("keys", "key"),
    [
        ({"random_removal": {"nodes": [1, 128], "repetitions": 2}}, "random_removal.nodes"),
        (
            {"settings": {"one": {"pruning.strategy": "random", "pruning.nodes": 128}}},
            "pruning.nodes",
        ),
        ({"settings": {"one": {"pruning.layers": ["dense7"]}}}, "dense7"),
    ],
)
def test_what_a_network_has_not_is_refused_before_and_in_the_sweep(
    server: Server, tmp_path: Path, keys: Mapping[str, Any], key: str
):
    write_sweep(tmp_path, {"settings": {"one": {}}, "grid": {}, "seeds": 1, **keys})
    told = server.call(*DO, "--dry-run", cwd=tmp_path).succeeded()
    assert "Not counted: 1 of 1 trials, which could not be timed" in told.out
    done = server.call(*DO, cwd=tmp_path)
    assert done.code == 2
    for err in (told.err, done.err):
        assert key in err
        assert "Traceback" not in err


def test_a_dry_run_that_is_stopped_leaves_nothing(tmp_path: Path):
    write_sweep(tmp_path, {**LONG, "grid": {}})
    (tmp_path / "tmp").mkdir()
    with running(*DO, "--dry-run", cwd=tmp_path, TMPDIR=str(tmp_path / "tmp")) as process:
        until(lambda: any((tmp_path / "tmp").glob("kvasir-prune-*/*/training")), process)
        process.terminate()
        _, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 143, err
    assert not list((tmp_path / "tmp").iterdir())
