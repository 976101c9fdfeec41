"""Timing networks: in turns, so many times, and from a real run."""

import json
from pathlib import Path

import pytest

from kvasir_prune.evaluation.latency import LEAST_REPEATS, MOST_REPEATS, measure
from tests.cli_runs import RUN, Server, copy_of, write_config


@pytest.mark.parametrize(("seconds", "repeats"), [(0.0, LEAST_REPEATS), (60.0, MOST_REPEATS)])
def test_networks_are_timed_in_turns_between_5_and_200_times(seconds, repeats):
    called = []
    answers = {
        (name, size): lambda name=name, size=size: called.append((name, size))
        for size in (1, 32)
        for name in ("before", "cut")
    }
    found = measure(answers, seconds)
    assert [(one.network, one.batch_size) for one in found] == list(answers)
    assert {one.repeats for one in found} == {repeats}
    assert called == [*answers] * (2 + repeats)  # twice beforehand
    for one in found:
        assert 0 <= one.lower_quartile_ms <= one.median_ms <= one.upper_quartile_ms


@pytest.mark.slow
def test_a_run_times_the_network_before_masked_and_cut(
    finished: Path, tmp_path: Path, server: Server
) -> None:
    run = copy_of(finished, tmp_path, "latency.json", "thumbnails.h5")
    assert json.loads((finished / "run" / "latency.json").read_text()) == []
    write_config(tmp_path, {"evaluation.latency_s": 0.05})
    server.call(*RUN, cwd=tmp_path).succeeded()
    found = json.loads((run / "report" / "report.json").read_text())["provenance"]["latency"]
    assert found == json.loads((run / "latency.json").read_text())
    assert {(one["network"], one["batch_size"]) for one in found} == {
        (name, size) for name in ("before", "masked", "cut") for size in (1, 32)
    }
    assert all(one["median_ms"] > 0 for one in found)
    assert "The time for an answer was not measured" not in (run / "report/report.html").read_text()
    for kept in ("evaluation.h5", "pruned.keras", "pruning.h5", "thumbnails.h5"):
        assert (run / kept).read_bytes() == (finished / "run" / kept).read_bytes(), kept
