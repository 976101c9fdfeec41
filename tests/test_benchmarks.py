"""The benchmark: its literal reference, its comparison, its sample, its JSON."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from benchmarks import reference_run
from benchmarks.compare import BUG, ROUNDING, Judge, Rule, explain, first_difference, is_same
from benchmarks.growth import exponent, line
from benchmarks.literal import Literal, Truth
from benchmarks.problem import CONFIGS, Problem, folder_name
from benchmarks.remembered import Remembered
from benchmarks.report import Report
from benchmarks.run import benchmark
from benchmarks.sample import delicate, even
from benchmarks.suites import SUITES
from benchmarks.trace import Decision, Evaluation, Job, job
from kvasir_prune.config import load_config
from kvasir_prune.data import Dataset
from kvasir_prune.errors import ModelError
from kvasir_prune.importance import scorers
from kvasir_prune.importance.reference import ReferenceScorer
from kvasir_prune.importance.scoring_set import ScoringSet
from kvasir_prune.models import read_chain
from kvasir_prune.progress import Silent
from kvasir_prune.pruning import Exhaustive, Greedy, Strategy
from kvasir_prune.types import LayerSize, Scored
from tests.networks import CLASSES, SMALL, images_and_labels, network, randomise
from tests.toy import ToyScorer

COUNT = 37
RULE = Rule(-1e-5, -1e-3)


@pytest.mark.parametrize(("name", "layer"), [("mlp", "dense2"), ("cnn", "conv3")])
def test_the_literal_way_agrees_with_the_reference_scorer_and_with_float64(
    name: str, layer: str
) -> None:
    chain, (images, labels) = read_chain(network(name)), images_and_labels(SMALL[name][1], COUNT)
    scored = ScoringSet(images, np.arange(COUNT), labels)
    reference = ReferenceScorer(chain, scored, batch_size=16, memory_budget_gib=1.0)
    literal = Literal(chain, images, labels, batch_size=16)
    truth = Truth(chain, images, labels, batch_size=16)
    removed = {layer: (3, 9), chain.hidden[-1].name: (1,)}
    for gone in ({}, removed, {layer: (3,)}, {}):
        expected = reference.score(layer, gone, [0, 5])
        for scorer in (literal, truth):
            for score, other in zip(scorer.score(layer, gone, [0, 5]), expected, strict=True):
                assert score.loss == pytest.approx(other.loss, rel=2e-6)
                assert score.accuracy == pytest.approx(other.accuracy)
            assert scorer.evaluate(gone).loss == pytest.approx(
                reference.evaluate(gone).loss, rel=2e-6
            )


def test_the_part_behind_frozen_layers_is_the_whole_network_on_their_features() -> None:
    chain, (images, labels) = read_chain(network("mlp")), images_and_labels(SMALL["mlp"][1], COUNT)
    start = chain.find("dense1").producer
    features = images.reshape(COUNT, -1).astype(np.float32) / np.float32(255)
    tail = Literal(chain, features, labels, batch_size=16, start=start)
    whole = Literal(chain, images, labels, batch_size=16)
    (one,), (other,) = (scorer.score("dense2", {"dense1": (2,)}, [4]) for scorer in (tail, whole))
    assert one.loss == pytest.approx(other.loss, rel=1e-6)


def test_the_literal_way_refuses_networks_that_it_cannot_mask() -> None:
    images, labels = images_and_labels(SMALL["vgg16_bn"][1], COUNT)
    with pytest.raises(ModelError, match="does not remove"):
        Literal(read_chain(network("vgg16_bn")), images, labels, batch_size=16)


LossOf = Callable[[frozenset[tuple[str, int]]], float]


def toy_job(loss_of: LossOf, strategy: Strategy, block_width: int = 1) -> Job:
    layers = (LayerSize("a", 4),)
    scorer = ToyScorer(loss_of, block_width)
    return job(scorer, strategy, layers, title="", progress=Silent())


def of_importances(importances: Mapping[int, float]) -> LossOf:
    return lambda gone: 1.0 - sum(importances[node] for _, node in gone)


IMPORTANCES = {0: -0.5, 1: -5e-4, 2: 2e-5, 3: -0.5}


@pytest.mark.parametrize("block_width", [1, 3])
def test_a_trace_holds_the_evaluations_that_the_ledger_counts(block_width: int) -> None:
    done = toy_job(of_importances(IMPORTANCES), Greedy(RULE.low, RULE.ignore), block_width)
    assert len(done.trace.evaluations) == len(done.trace.decisions) == done.evaluations
    found = [(d.evaluation.node, d.outcome) for d in done.trace.decisions]
    assert found == [(0, "ignored"), (1, "kept"), (2, "removed"), (1, "kept"), (3, "ignored")]
    assert done.removed == ((2,),)


def test_a_long_reference_is_taken_up_where_it_was_killed(tmp_path: Path) -> None:
    path, greedy = tmp_path / "answers.jsonl", Greedy(RULE.low, RULE.ignore)
    layers = (LayerSize("a", 4),)

    def run_with(loss_of: LossOf) -> tuple[Job, Remembered]:
        scorer = Remembered(ToyScorer(loss_of), path)
        return job(scorer, greedy, layers, title="", progress=Silent()), scorer

    whole, first = run_with(of_importances(IMPORTANCES))
    assert first.taken_over == 0
    lines = path.read_bytes().splitlines(keepends=True)
    assert len(lines) == whole.evaluations + 1
    path.write_bytes(b"".join(lines[:4]) + lines[4][:9])
    asked: list[frozenset[tuple[str, int]]] = []

    def loss_of(gone: frozenset[tuple[str, int]]) -> float:
        asked.append(gone)
        return of_importances(IMPORTANCES)(gone)

    again, second = run_with(loss_of)
    assert second.taken_over == 4
    assert len(asked) == len(lines) - 4
    assert again.trace.decisions == whole.trace.decisions
    assert path.read_bytes() == b"".join(lines)


def test_an_injected_difference_is_found_and_told_from_rounding() -> None:
    greedy = Greedy(RULE.low, RULE.ignore)
    for shift, error, verdict in [(2e-8, 1e-7, ROUNDING), (2e-8, 1e-9, BUG), (1e-5, 1e-3, BUG)]:
        near = {**IMPORTANCES, 2: RULE.low + shift / 2}
        below = {**IMPORTANCES, 2: RULE.low - shift / 2}
        ours, theirs = toy_job(of_importances(below), greedy), toy_job(of_importances(near), greedy)
        place = first_difference(ours.trace.decisions, theirs.trace.decisions)
        assert place == 2
        found = explain(
            place + 1,
            ours.trace.decisions[place],
            theirs.trace.decisions[place],
            truth=Judge(ToyScorer(of_importances(near))),
            rule=RULE,
            error=error,
        )
        assert (found.outcome_reference, found.outcome_exact) == ("kept", "removed")
        assert found.gap == pytest.approx(shift / 2, rel=1e-3)
        assert found.verdict == verdict
        assert first_difference(ours.trace.decisions, ours.trace.decisions) is None


def test_a_wrong_importance_is_a_bug_even_where_the_truth_is_near_a_threshold() -> None:
    at = Evaluation("a", {}, 2)
    found = explain(
        1,
        Decision(at, -1.1e-5, "kept"),
        Decision(at, 0.3, "removed"),
        truth=Judge(ToyScorer(of_importances({2: RULE.low - 1e-9}))),
        rule=RULE,
        error=1e-7,
    )
    assert found.verdict == BUG


def test_exhaustive_decisions_are_compared_by_their_two_best_nodes() -> None:
    done = toy_job(of_importances({0: 0.1, 1: 0.3, 2: 0.2, 3: -0.5}), Exhaustive(RULE.low))
    first = done.trace.decisions[0]
    assert (first.evaluation.node, first.rival, first.outcome) == (1, 2, "removed")
    assert done.evaluations == 4 + 3 + 2
    rule = Rule(RULE.low, None)
    same = Judge(ToyScorer(of_importances({0: 0.1, 1: 0.3, 2: 0.2, 3: -0.5})))
    assert all(is_same(same.decide(d, rule), d) for d in done.trace.decisions)
    other = Judge(ToyScorer(of_importances({0: 0.1, 1: 0.2, 2: 0.2 + 1e-8, 3: -0.5})))
    ours = other.decide(first, rule)
    assert ours.evaluation.node == 2
    found = explain(1, ours, first, truth=other, rule=rule, error=1e-7)
    assert found.gap == pytest.approx(1e-8, rel=1e-3)


def test_the_fifty_decisions_nearest_to_a_threshold_are_in_the_sample() -> None:
    rng = np.random.default_rng(0)
    importances = rng.normal(0, 1e-3, 5000)
    decisions = [Decision(Evaluation("a", {}, n), float(i), "") for n, i in enumerate(importances)]
    chosen = delicate(decisions, RULE.thresholds)
    assert len(chosen) == len(set(chosen)) == 200
    assert chosen == sorted(chosen)
    distances = np.minimum(abs(importances + 1e-5), abs(importances + 1e-3))
    assert set(np.argsort(distances)[:50].tolist()) <= set(chosen)
    others = sorted(set(chosen) - set(np.argsort(distances)[:50].tolist()))
    assert max(np.diff(others)) < 3 * 5000 / 150
    assert len(delicate(decisions[:120], RULE.thresholds)) == 120


def test_one_of_whom_only_a_bound_is_known_is_not_near_a_threshold() -> None:
    at = Evaluation("a", {}, 0)
    decisions = [Decision(at, -1e-3 - 1e-12, "ignored", is_bound=True)] * 9 + [
        Decision(at, -5e-4, "left")
    ]
    assert delicate(decisions, RULE.thresholds, size=1, nearest=1) == [9]


def test_of_exhaustive_decisions_the_nearest_ties_are_in_the_sample() -> None:
    at = Evaluation("a", {}, 0)
    decisions = [Decision(at, 1.0, "removed", 1, 0.5)] * 10
    decisions[7] = Decision(at, 1.0, "removed", 1, 1.0 - 1e-9)
    assert 7 in delicate(decisions, (-1e-5,), size=1, nearest=1)


@pytest.mark.parametrize(("count", "size"), [(10, 3), (10, 10), (10, 50), (100_000, 60), (5, 1)])
def test_an_even_sample_is_even(count: int, size: int) -> None:
    places = even(count, size)
    assert len(set(places)) == min(count, size)
    assert all(0 <= place < count for place in places)
    gaps: Collection[int] = np.diff(places).tolist()
    assert not gaps or max(gaps) - min(gaps) <= 1


def test_fits_find_known_laws() -> None:
    sizes = [100.0, 200.0, 400.0]
    assert exponent(sizes, [3 * size**2 for size in sizes]) == pytest.approx(2)
    assert line(sizes, [5 * size + 7 for size in sizes]) == pytest.approx((5, 7, 1))


NAMED = [
    "suite",
    "reference_seconds",
    "exact_seconds_cold",
    "exact_seconds_warm",
    "ratio_cold",
    "ratio_warm",
    "evaluations",
    "peak_memory_gib",
    "identical",
]


def test_json_has_the_named_keys_first_and_every_other_is_documented() -> None:
    names = [field.name for field in dataclasses.fields(Report)]
    assert names[: len(NAMED)] == NAMED
    for name in names:
        assert name in (Report.__doc__ or ""), name
    values = dict.fromkeys(names, None)
    report = Report(**values)  # type: ignore[arg-type]
    assert list(json.loads(json.dumps(report.json()))) == names


@pytest.mark.parametrize(
    ("strategy", "reference", "scorer"),
    [
        ("greedy", "full", "exact"),
        ("greedy", "full, timed", "reference"),
        ("greedy", "sample", "exact"),
        ("exhaustive", "full", "exact"),
        ("exhaustive", "sample of a part", "reference"),
    ],
)
def test_a_benchmark_from_beginning_to_end(
    strategy: str, reference: str, scorer: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(reference_run, "FULL_UP_TO_S", 1e9 if reference == "full" else 0.0)
    monkeypatch.setattr(reference_run, "TIMING_S", 0.0)
    name = "vgg16-dense" if reference.endswith("part") else "mnist-mlp"
    of = network("vgg16") if reference.endswith("part") else two_dense_layers()
    problem = dataclasses.replace(tiny_problem(of, strategy, scorer), folder=tmp_path)
    suite, is_full = dataclasses.replace(SUITES[name], probes=2), reference.startswith("full")
    report = benchmark(suite, problem, full=is_full, threads=1, progress=Silent())
    assert report.identical
    assert report.repeatable
    assert report.reference == ("full" if is_full else "sample")
    assert len(list(tmp_path.glob("literal-*.jsonl"))) == (reference == "full, timed")
    assert (report.reference_part == "from fc1 on") == reference.endswith("part")
    assert report.reference_error < 1e-6
    assert report.reference_evaluations_timed == (report.evaluations if reference == "full" else 2)
    assert report.ratio_warm == report.reference_seconds / report.exact_seconds_warm
    json.dumps(report.json())


def test_a_scorer_that_errs_is_not_identical_and_its_error_is_a_bug(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Wrong(ReferenceScorer):
        def score(self, *args: Any, **settings: Any) -> tuple[Scored, ...]:
            scores = super().score(*args, **settings)
            return tuple(dataclasses.replace(s, loss=s.loss - 10 * (s.node == 5)) for s in scores)

    monkeypatch.setattr(scorers, "ReferenceScorer", Wrong)
    for limit in (1e9, 0.0):
        monkeypatch.setattr(reference_run, "FULL_UP_TO_S", limit)
        monkeypatch.setattr(reference_run, "TIMING_S", 0.0)
        suite = dataclasses.replace(SUITES["mnist-mlp"], probes=2)
        problem = tiny_problem(two_dense_layers(), "greedy")
        report = benchmark(suite, problem, full=False, threads=1, progress=Silent())
        assert not report.identical
        assert report.first_difference is not None
        assert report.first_difference.verdict == BUG
        further = report.further_differences
        assert len(further) == (0 if limit else report.decisions_differing - 1)
        assert {one.verdict for one in further} <= {BUG}
        assert report.exact_error is not None
        assert report.exact_error > 1


def two_dense_layers() -> keras.Model:
    """As large as those of the narrow VGG-16, without the convolutions before them."""
    model = keras.Sequential(
        [
            keras.Input((6, 6, 1), dtype="uint8"),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Flatten(),
            keras.layers.Dense(9, activation="relu", name="fc1"),
            keras.layers.Dense(9, activation="relu", name="fc2"),
            keras.layers.Dense(CLASSES, activation="softmax"),
        ]
    )
    randomise(model)
    return model


def tiny_problem(model: keras.Model, strategy: str, scorer: str = "reference") -> Problem:
    settings = ["pruning.layers=[fc1, fc2]", f"pruning.strategy={strategy}"]
    settings += ["importance.batch_size=16", f"importance.scorer={scorer}"]
    config = load_config(CONFIGS / "mnist_mlp.yaml", settings)
    chain, (images, labels) = read_chain(model), images_and_labels(model.input_shape[1:], COUNT)
    rows = {"validation": np.arange(COUNT)}
    dataset = Dataset(images, labels, tuple("abcd"), rows, "")
    scored = ScoringSet(images, rows["validation"], labels)
    return Problem(config, chain, scored, chain.find("fc1").producer, dataset, Path())


def test_trained_networks_are_found_again_unless_something_that_makes_them_changes() -> None:
    path = CONFIGS / "mnist_mlp.yaml"
    name = folder_name(load_config(path))
    for cosmetic in ("name=mnist_mlp", "training.commit_every_s=1", "data.root=elsewhere"):
        assert folder_name(load_config(path, [cosmetic])) == name
    for pruned_differently in ("pruning.ignore_below=-1e-2", "importance.scorer=reference"):
        assert folder_name(load_config(path, [pruned_differently])) == name
    for decisive in ("seed=7", "training.max_epochs=1", "data.limit_per_class=9"):
        assert folder_name(load_config(path, [decisive])) != name
