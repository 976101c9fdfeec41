"""The plan against hand counts and simulations, and the time left of an interrupted run."""

from __future__ import annotations

import dataclasses
import datetime
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from kvasir_prune.config.method import PruningConfig
from kvasir_prune.experiment.pace import IMPORTANCE, PRUNING, Pace, read_pace
from kvasir_prune.experiment.prediction import measuring_s, pruning_s
from kvasir_prune.importance.calibration import LayerSpeed
from kvasir_prune.importance.cost_model import Footprint, footprint_of, work_of
from kvasir_prune.importance.exact import ExactScorer
from kvasir_prune.importance.layer_cache import LayerCache
from kvasir_prune.importance.measure import measure
from kvasir_prune.importance.packing import Piece
from kvasir_prune.importance.prefix import Prefix
from kvasir_prune.importance.scoring_set import ScoringSet
from kvasir_prune.importance.sizes import coming_by
from kvasir_prune.importance.store import ImportanceStore
from kvasir_prune.ledger import HDF5Ledger, MemoryLedger, State
from kvasir_prune.models import Chain, read_chain, weights_of
from kvasir_prune.progress import duration
from kvasir_prune.pruning import Exhaustive, Greedy, Strategy, prune
from kvasir_prune.pruning.expectation import Fate, evaluations, evaluations_left, fate_of
from kvasir_prune.types import LayerFinished, LayerSize, LossAccuracy
from tests.cli_runs import AFTER_LEDGER, Forbidden, Server, contents, copy_of
from tests.networks import images_and_labels, randomise
from tests.toy import ToyScorer

LOW, IGNORE_BELOW = -1e-5, -1e-3
GREEDY = PruningConfig(strategy="greedy", ignore_below=IGNORE_BELOW)
EXHAUSTIVE = PruningConfig(strategy="exhaustive")
# Greedy's three kinds of nodes (nats): removed, looked at again and again, ignored.
GOES, STAYS, IGNORED = 1e-4, -1e-4, -1e-2


def states(strategy: Strategy, importances: list[float]) -> list[State]:
    """Prune a layer whose nodes contribute the same whatever else is removed."""

    def loss_of(removed: frozenset[tuple[str, int]]) -> float:
        return 1.0 - sum(importances[node] for _, node in removed)

    ledger = MemoryLedger((LayerSize("a", len(importances)),), LossAccuracy(1.0, 0.5))
    first = ledger.state
    return [first, *prune(strategy, ToyScorer(loss_of), ledger, commit_every_s=0.0)]


def mixed(seed: int, goes: int, stays: int, ignored: int) -> list[float]:
    kinds = [GOES] * goes + [STAYS] * stays + [IGNORED] * ignored
    return [float(value) for value in np.random.default_rng(seed).permutation(kinds)]


@pytest.mark.parametrize(("goes", "stays", "ignored"), [(10, 6, 14), (20, 0, 5), (5, 20, 5)])
def test_greedy_needs_what_is_expected_on_the_average(goes: int, stays: int, ignored: int) -> None:
    greedy = Greedy(LOW, IGNORE_BELOW)
    needed = [
        states(greedy, mixed(seed, goes, stays, ignored))[-1].evaluations for seed in range(60)
    ]
    fate = Fate(goes + stays + ignored, goes, stays)
    assert evaluations(GREEDY, fate) == pytest.approx(np.mean(needed), rel=0.08)


@pytest.mark.parametrize(("goes", "stays"), [(0, 7), (4, 9), (12, 3)])
def test_exhaustive_needs_exactly_what_is_expected(goes: int, stays: int) -> None:
    found = states(Exhaustive(LOW), mixed(1, goes, stays, 0))
    fate = Fate(goes + stays, goes, stays)
    total = found[-1].evaluations
    assert evaluations(EXHAUSTIVE, fate) == total
    for state in found[:-1]:
        left = evaluations_left(EXHAUSTIVE, fate, state)
        assert left == pytest.approx(total - state.evaluations)


def test_what_is_left_of_a_greedy_layer_shrinks_to_what_is_really_left() -> None:
    """Averaged over many layers, the forecast made in the middle is right in the middle too."""
    fate, errors = Fate(40, 12, 10), {0.25: [], 0.5: [], 0.75: []}
    for seed in range(60):
        found = states(Greedy(LOW, IGNORE_BELOW), mixed(seed, 12, 10, 18))
        total = found[-1].evaluations
        for share, seen in errors.items():
            state = found[int(share * (len(found) - 2))]
            left = evaluations_left(GREEDY, fate, state)
            seen.append((left, total - state.evaluations))
        last = found[-2]
        assert evaluations_left(GREEDY, fate, last) == pytest.approx(0.0, abs=1e-9)
    for seen in errors.values():
        forecast, real = np.mean(seen, axis=0)
        assert forecast == pytest.approx(real, rel=0.25)


def test_a_wrong_expectation_mends_itself_as_the_layer_goes() -> None:
    importances = mixed(3, 2, 30, 8)
    found = states(Greedy(LOW, IGNORE_BELOW), importances)
    wrong = Fate(40, 39, 0)
    state = found[-3]
    assert evaluations_left(GREEDY, wrong, state) <= 6


def test_measured_importances_decide_the_fate() -> None:
    layers = (LayerSize("a", 10),)
    importances = [GOES] * 5 + [STAYS] * 3 + [IGNORED] * 2
    fate = fate_of(GREEDY, LOW, layers, 0, importances)
    assert (fate.removed, fate.rescanned) == (3.0, 3.0)
    exact = fate_of(PruningConfig(strategy="pre_calculated"), LOW, layers, 0, importances)
    assert evaluations(PruningConfig(strategy="pre_calculated"), exact) == 5


def test_random_strategies_need_what_they_are_told() -> None:
    layers = (LayerSize("a", 30), LayerSize("b", 10))
    random = PruningConfig(strategy="random", nodes=8)
    assert [evaluations(random, fate_of(random, LOW, layers, n)) for n in (0, 1)] == [6, 2]
    trying = PruningConfig(strategy="random_while_improving", nodes_at_a_time=1, tries=5)
    assert evaluations(trying, fate_of(trying, LOW, layers, 0)) == 5


def test_work_and_memory_against_counts_by_hand() -> None:
    model = keras.Sequential(
        [
            keras.Input((6, 6, 1), dtype="uint8"),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Conv2D(4, 3, activation="relu", name="conv"),
            keras.layers.MaxPooling2D(2),
            keras.layers.Flatten(),
            keras.layers.Dense(8, activation="relu", name="dense"),
            keras.layers.Dense(3, name="predictions"),
        ]
    )
    chain = read_chain(model)
    conv, dense = chain.hidden
    of_conv, of_dense = (work_of(chain, weights_of(chain), hidden) for hidden in (conv, dense))
    # conv: 4 x 4 positions x 9 weights x 4 filters; dense reads 2 x 2 x 4 values; 8 x 3 logits.
    assert (of_conv.before, of_conv.reading, of_conv.behind) == (576, 128, 24)
    assert (of_conv.prefix_pass, of_conv.pair, of_conv.suffix) == (704, 32 + 24, 152)
    assert (of_dense.prefix_pass, of_dense.pair) == (576 + 128 + 24, 3)
    # h twice and z three times, in float32, for each of 100 images.
    kept = footprint_of(chain, conv, 100, scorer="exact", batch_size=10, budget_bytes=2**30)
    assert (kept.kept, kept.streamed) == (100 * 4 * (2 * 16 + 3 * 8), False)
    tight = footprint_of(chain, conv, 100, scorer="exact", batch_size=10, budget_bytes=7000)
    assert (tight.kept, tight.streamed) == (31 * 224, True)
    literal = footprint_of(chain, conv, 100, scorer="reference", batch_size=10, budget_bytes=2**30)
    assert (literal.kept, literal.block_width) == (100 * 4 * 16, 1)


class Timed(ToyScorer):
    """Takes 3 s for a call and 1 s for a candidate."""

    seconds = 0

    def score(self, layer: str, removed: Any, nodes: Sequence[int], **more: Any) -> Any:
        self.seconds += 3 + len(nodes)
        return super().score(layer, removed, nodes, **more)


@pytest.mark.parametrize("verify_every", [0, 1, 10])
@pytest.mark.parametrize("width", [1, 8])
def test_losses_computed_twice_are_part_of_the_plan(
    tmp_path: Path, width: int, verify_every: int
) -> None:
    scorer = Timed(lambda _: 1.0, width)
    layers, baseline = (LayerSize("a", 50),), LossAccuracy(1.0, 0.5)
    store = ImportanceStore(tmp_path / "importance.h5", layers=layers, baseline=baseline)
    for _ in measure(scorer, store, commit_every_s=60, verify_every=verify_every):
        pass
    speed = LayerSpeed(0, 0, 0, lead=3, candidate=1, bounded=0, removal=0, base=0)
    footprint = Footprint(kept=0, streamed=False, block_width=width, in_vain=0)
    assert measuring_s(speed, footprint, 50, verify_every=verify_every) == scorer.seconds


def two_convolutions() -> tuple[Chain, ScoringSet]:
    model = keras.Sequential(
        [
            keras.Input((6, 6, 1), dtype="uint8"),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Conv2D(30, 3, activation="relu", name="conv1"),
            keras.layers.Conv2D(6, 3, activation="relu", name="conv2"),
            keras.layers.Flatten(),
            keras.layers.Dense(4, name="predictions"),
        ]
    )
    randomise(model)
    images, labels = images_and_labels((6, 6, 1), 64)
    return read_chain(model), ScoringSet(images, np.arange(64), labels)


def test_a_streamed_layer_is_planned_as_it_is_worked_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Passes of the prefix, updates of z, evaluations of the network as it is: counted, planned."""
    chain, scored = two_convolutions()
    scorer = ExactScorer(chain, scored, batch_size=32, memory_budget_gib=32 * KEPT / 2**30)
    counts = _counted(monkeypatch)
    ledger = MemoryLedger((chain.find("conv1").size,), scorer.evaluate({}, layer="conv1"))
    counts.clear()
    for _ in prune(Greedy(-1e-3, -5e-2), scorer, ledger, commit_every_s=60):
        pass
    state = ledger.state
    assert state.removals > 10
    conv1 = chain.find("conv1")
    footprint = footprint_of(
        chain, conv1, 64, scorer="exact", batch_size=32, budget_bytes=32 * KEPT
    )
    assert (footprint.streamed, footprint.block_width) == (True, 8)
    candidates = state.evaluations + state.removals * footprint.in_vain

    def planned(**seconds: float) -> float:
        speed = LayerSpeed(**{**dict.fromkeys(SPEEDS, 0.0), **seconds})
        return pruning_s(speed, footprint, candidates, state.removals, cut=1.0)

    assert planned(prefix=1) == pytest.approx(counts["passes"], rel=0.25)
    assert planned(base=1, removal=1) == pytest.approx(counts["bases"], rel=0.25)
    assert planned(removal=1) == pytest.approx(counts["patches"], rel=0.25)


@pytest.mark.parametrize(("budget", "passes"), [(300_000, 2), (600_000, 1)])
def test_outputs_that_come_by_take_no_pass(
    budget: int, passes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """conv1's outputs for 64 images, 122,880 bytes, may take a quarter of the budget."""
    chain, scored = two_convolutions()
    scorer = ExactScorer(chain, scored, batch_size=32, memory_budget_gib=budget / 2**30)
    counts = _counted(monkeypatch)
    ledger = MemoryLedger(tuple(h.size for h in chain.hidden[::-1]), scorer.evaluate({}))
    for _ in prune(Greedy(-1e-3, -5e-2), scorer, ledger, commit_every_s=60):
        pass
    assert counts["passes"] == passes
    assert 2 - len(coming_by(chain, chain.hidden[::-1], 64, budget)) == passes


SPEEDS = [field.name for field in dataclasses.fields(LayerSpeed)]
KEPT = 4 * (2 * 30 * 16 + 3 * 6 * 4)
"""Bytes for an image: twice 30 nodes of 4 x 4 values, three times 6 of 2 x 2."""


def _counted(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Count, in scoring sets of 64 images: passes of a prefix, patches of z, base evaluations."""
    counts: Counter[str] = Counter()
    run, patch, lead = Prefix.run, LayerCache._patch, LayerCache._take_lead

    def counted_run(self: Prefix, weights: Any, scored: Any, stretch: slice, size: int) -> Any:
        counts["passes"] += (stretch.stop - stretch.start) / 64  # type: ignore[assignment]
        return run(self, weights, scored, stretch, size)

    def counted_patch(self: LayerCache, node: int) -> None:
        counts["patches"] += self.images / 64  # type: ignore[assignment]
        patch(self, node)

    def counted_lead(self: LayerCache, piece: Piece, *rest: Any) -> None:
        counts["bases"] += len(piece.images) / 64  # type: ignore[assignment]
        lead(self, piece, *rest)

    monkeypatch.setattr(Prefix, "run", counted_run)
    monkeypatch.setattr(LayerCache, "_patch", counted_patch)
    monkeypatch.setattr(LayerCache, "_take_lead", counted_lead)
    return counts


def test_pace_goes_from_work_to_what_a_layer_really_takes() -> None:
    pace = Pace({"a": (10**10, 0), "b": (3 * 10**10, 10**10)})
    assert pace.seconds(PRUNING, "b") == pytest.approx(3.0)
    pace.took(IMPORTANCE, "a", 10**6, 2.0 * 10**6)
    assert pace.seconds(IMPORTANCE, "a") == pytest.approx(2.0, rel=1e-3)
    assert pace.seconds(PRUNING, "b") == pytest.approx(6.0)
    assert pace.start(PRUNING, "b") == pytest.approx(2.0)
    pace.took(PRUNING, "b", 10**6, 0.5 * 10**6)
    assert pace.seconds(PRUNING, "b") == pytest.approx(0.5, rel=1e-3)
    assert pace.start(PRUNING, "b") == 0.0


def test_what_is_run_once_does_not_make_a_layer_look_slow() -> None:
    """A layer with hardly any work behind a long prefix says little of its evaluations."""
    pace = Pace({"last": (10**4, 10**10), "first": (10**9, 0)})
    pace.took(IMPORTANCE, "last", 64, 1.0)
    assert pace.seconds(PRUNING, "first") == pytest.approx(0.1, rel=1e-3)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema_version": 2}', '{"schema_version": 1}'])
def test_a_damaged_pace_is_no_pace(tmp_path: Path, text: str) -> None:
    (tmp_path / "pace.json").write_text(text)
    assert read_pace(tmp_path / "pace.json") is None


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.04, "0.0 s"),
        (9.94, "9.9 s"),
        (75, "75 s"),
        (600, "10 min"),
        (3600 + 59 * 60 + 29, "1 h 59 min"),
        (3 * 86400 + 7200, "3 d 2 h"),
    ],
)
def test_lengths_of_time_in_words(seconds: float, words: str) -> None:
    assert duration(seconds) == words


@pytest.mark.slow
def test_plan_names_every_layer_and_makes_no_model(tmp_path: Path, server: Server) -> None:
    settings = "data: {source: digits, limit_per_class: 20}\nmodel: {name: mlp}\nname: planned\n"
    (tmp_path / "config.yaml").write_text(f"{settings}runtime: {{threads: 1}}\n")
    shown = server.call("plan", "config.yaml", "--run-dir", "run", cwd=tmp_path).succeeded()
    for name in ("dense1", "dense2", "dense3", "initial weights", "factor of 2"):
        assert name in shown.out
    made = {path.name for path in (tmp_path / "run").iterdir()} - {".lock"}
    assert made - {"run.previous.json"} == {
        "run.json",
        "config.yaml",
        "split.csv",
        "data_check.json",
        "data.json",
        "cache",
    }
    arguments = ("plan", "config.yaml", "--run-dir", "run", "--json")
    document = json.loads(server.call(*arguments, cwd=tmp_path).succeeded().out)
    wrong = server.call(*arguments, "--set", "pruning.layers=[dense9]", cwd=tmp_path)
    assert [layer["layer"] for layer in document["layers"]] == ["dense3", "dense2", "dense1"]
    assert [layer["importance_evaluations"] for layer in document["layers"]] == [32, 64, 128]
    assert all(layer["pruning_s"] > 0 for layer in document["layers"])
    wrong.refused("pruning.layers")


@pytest.mark.slow
def test_plan_of_a_finished_run_rests_on_its_importances(
    finished: Path, tmp_path: Path, server: Server
) -> None:
    run = copy_of(finished, tmp_path)
    before = contents(run)
    arguments = ("plan", "config.yaml", "--run-dir", "run", "--json")
    shown = server.call(*arguments, cwd=tmp_path).succeeded()
    document = json.loads(shown.out)
    assert (document["trained"], document["importances_measured"]) == (True, True)
    changed = {name for name, content in contents(run).items() if before.get(name) != content}
    assert changed <= {"config.yaml", ".lock"}


@pytest.mark.slow
def test_status_tells_the_time_left_of_a_run_that_stopped(finished: Path, tmp_path: Path) -> None:
    """Its ledger holds half of the events, as if it had been killed in the middle."""
    run = copy_of(finished, tmp_path, *AFTER_LEDGER)
    _forget_the_end(run / "pruning.h5")
    quiet = Forbidden(tmp_path / "forbidden", "tensorflow", "keras")
    facts = json.loads(quiet.call("status", "run", "--json", cwd=tmp_path).succeeded().out)
    assert facts["stage"] == "prune"
    assert facts["left_s"] > 0
    assert facts["evaluations_per_s"] > 0
    words = quiet.call("status", "run", cwd=tmp_path).succeeded().out
    assert f"{facts['layer']}: {facts['layer_done']} of {facts['layer_nodes']} nodes done" in words
    (run / "pace.json").unlink()
    facts = json.loads(quiet.call("status", "run", "--json", cwd=tmp_path).succeeded().out)
    assert "left_s" not in facts


BATCH, EVOLUTION = "checkpoint.h5 epochs={} batches={}", "pruning.h5 removed=32 evolution={}"


@pytest.mark.parametrize(
    ("gone", "lines", "facts", "words"),
    [
        # 280 images are 9 batches of 32, three times at most; 10 of them took 5 s.
        (
            "model.keras",
            {-9: BATCH.format(0, 0), 10: BATCH.format(0, 3), 15: BATCH.format(0, 3)}
            | {20: BATCH.format(1, 4)},
            {"batches_done": 13, "batches": 27, "batches_per_s": 2.0, "left_s": 7.0},
            "13 of 27 batches at most",
        ),
        # Three points on three splits, then two networks on three; 12 passes took 24 s.
        (
            "evaluation.h5",
            {1: EVOLUTION.format(0), 30: EVOLUTION.format(0), 40: EVOLUTION.format(5)}
            | {54: "evaluation.partial.h5 images=400"},
            {"passes_done": 12.0, "passes": 15, "passes_per_s": 0.5, "left_s": 6.0},
            "12 of 15 passes over a split",
        ),
    ],
)
def test_status_tells_the_pace_of_training_and_evaluation_by_the_log(
    finished: Path, tmp_path: Path, server: Server, gone, lines, facts, words
) -> None:
    run = copy_of(finished, tmp_path, gone)
    start = datetime.datetime.fromisoformat(json.loads((run / "run.json").read_text())["starts"][0])
    torn = "2026-11-27T16:32:40.108+00:00 checkpoint.h5 wri2026-11-27T16:3\n\n"
    (run / "run.log").write_text(
        torn
        + "".join(
            f"{(start + datetime.timedelta(seconds=after)).isoformat()} {line}\n"
            for after, line in lines.items()
        )
        + "2026-11-27T16:32"
    )
    found = json.loads(server.call("status", "run", "--json", cwd=tmp_path).succeeded().out)
    assert {name: found[name] for name in facts} == facts
    since_start = datetime.datetime.now(datetime.UTC) - start
    assert found["last_commit_age_s"] < since_start.total_seconds()
    assert words in server.call("status", "run", cwd=tmp_path).succeeded().out
    (run / "run.log").unlink()
    found = json.loads(server.call("status", "run", "--json", cwd=tmp_path).succeeded().out)
    assert not set(facts) & set(found)


def _forget_the_end(path: Path) -> None:
    """Write the ledger as it was after half of its events."""
    whole = HDF5Ledger(path)
    half = [entry for entry in whole.entries if not isinstance(entry, LayerFinished)]
    path.unlink()
    ledger = HDF5Ledger(path, layers=whole.layers, baseline=whole.baseline, identity=whole.identity)
    ledger.record(half[: len(half) // 2])
    ledger.commit()
