"""The reference's side of a benchmark: run in full, or timed and compared on a sample."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.compare import Difference, Judge, Rule, explain, first_difference, is_same
from benchmarks.dense import features_of
from benchmarks.literal import Literal, Truth
from benchmarks.problem import Problem
from benchmarks.remembered import Remembered
from benchmarks.sample import delicate, distance, even
from benchmarks.suites import Suite
from benchmarks.trace import Decision, Job, job
from kvasir_prune.models import digest_of, weights_of
from kvasir_prune.progress import Progress

FULL_UP_TO_S = 600.0
"""A reference that would take longer is timed on a sample."""
TIMING_S = 120.0
MOST_TIMED, LEAST_TIMED = 60, 2


@dataclass(frozen=True)
class Finding:
    """The half of a `Report` that the reference gives; fields as there."""

    reference: str
    reference_part: str
    reference_seconds: float
    reference_evaluations_timed: int
    identical: bool
    decisions_compared: int
    decisions_differing: int
    nearest_distance: float | None
    reference_error: float
    exact_error: float | None
    first_difference: Difference | None
    further_differences: tuple[Difference, ...] = ()


@dataclass(frozen=True)
class Sides:
    """The literal network that is timed, the one that decides, and float64.

    `deciding` is the timed one, or its part behind the frozen layers.
    """

    timed: Literal
    deciding: Literal
    truth: Judge
    part: str


def sides_of(suite: Suite, problem: Problem, progress: Progress) -> Sides:
    """Make the literal scorers of a problem."""
    chain, scored, size = problem.chain, problem.scoring_set, suite.reference_batch_size
    images, labels = np.asarray(scored.images[scored.rows]), scored.labels
    whole = Literal(chain, images, labels, batch_size=size)
    if suite.frozen_until is None:
        truth = Truth(chain, images, labels, batch_size=size)
        return Sides(whole, whole, Judge(truth), "whole network")
    start = problem.start
    features = features_of(chain, start, scored, progress)
    tail = Literal(chain, features, labels, batch_size=256, start=start)
    truth = Truth(chain, features, labels, batch_size=256, start=start)
    return Sides(whole, tail, Judge(truth), f"from {chain.layers[start].name} on")


def reference_of(
    suite: Suite, problem: Problem, exact: Job, *, full: bool, progress: Progress
) -> Finding:
    """Time the literal way and compare its decisions with those of the exact scorer.

    Args:
        suite: how it is measured.
        problem: what was pruned.
        exact: the job of the exact scorer.
        full: run the reference in full, however long it takes.
        progress: told of everything that takes long.
    """
    sides = sides_of(suite, problem, progress)
    sides.timed.warm_up()
    one = _seconds_of(sides.timed, exact, [len(exact.trace.evaluations) // 2])
    progress.note(f"A literal evaluation takes {one:.3g} s; {exact.evaluations} were used")
    if one * exact.evaluations <= FULL_UP_TO_S:
        return _in_full(suite, problem, exact, sides, progress=progress)
    size = int(np.clip(TIMING_S / one, LEAST_TIMED, MOST_TIMED))
    timed = even(exact.evaluations, size)
    seconds = _seconds_of(sides.timed, exact, timed) * exact.evaluations
    progress.note(f"Timed on {len(timed)} evaluations, all would take {seconds:.4g} s")
    if full:
        answers = _answers(problem, suite)
        found = _in_full(suite, problem, exact, sides, answers=answers, progress=progress)
    else:
        found = _on_sample(suite, problem, exact, sides, progress)
    return replace(found, reference_seconds=seconds, reference_evaluations_timed=len(timed))


def _answers(problem: Problem, suite: Suite) -> Path:
    """Return where the answers of a long reference run are kept."""
    scored = hashlib.sha256(problem.scoring_set.rows.astype(np.int64).tobytes())
    scored.update(digest_of(weights_of(problem.chain)).encode())
    name = f"literal-{suite.reference_batch_size}-{scored.hexdigest()[:8]}.jsonl"
    return problem.folder / name


def rule_of(problem: Problem) -> Rule:
    """Return the thresholds of a problem's strategy."""
    is_greedy = problem.config.pruning.strategy == "greedy"
    ignore = problem.config.pruning.ignore_below if is_greedy else None
    return Rule(problem.config.importance.low, ignore)


def _in_full(
    suite: Suite,
    problem: Problem,
    exact: Job,
    sides: Sides,
    *,
    answers: Path | None = None,
    progress: Progress,
) -> Finding:
    """Run the literal way to its end; where `answers` is given, it may have begun before."""
    ours = job(
        sides.timed if answers is None else Remembered(sides.timed, answers),
        problem.strategy(),
        problem.layers,
        title="Reference, in full",
        progress=progress,
    )
    rule, theirs = rule_of(problem), exact.trace.decisions
    errors = _errors(suite, theirs, sides, progress)
    place = first_difference(ours.trace.decisions, theirs)
    difference = None
    if place is not None and place < min(len(ours.trace.decisions), len(theirs)):
        pair = (ours.trace.decisions[place], theirs[place])
        difference = explain(place + 1, *pair, truth=sides.truth, rule=rule, error=errors[0])
    return Finding(
        "full",
        "whole network",
        ours.seconds,
        ours.evaluations,
        ours.removed == exact.removed,
        len(theirs) if place is None else place + 1,
        int(place is not None),
        _nearest(theirs, rule),
        *errors,
        difference,
    )


def _on_sample(
    suite: Suite, problem: Problem, exact: Job, sides: Sides, progress: Progress
) -> Finding:
    rule, decisions = rule_of(problem), exact.trace.decisions
    errors = _errors(suite, decisions, sides, progress)
    chosen = delicate(decisions, rule.thresholds)
    differing = list(_disagreements(decisions, chosen, Judge(sides.deciding), rule, progress))
    explained = tuple(
        explain(place + 1, ours, decisions[place], truth=sides.truth, rule=rule, error=errors[0])
        for place, ours in differing
    )
    return Finding(
        "sample",
        sides.part,
        float("nan"),
        0,
        not differing,
        len(chosen),
        len(differing),
        _nearest([decisions[place] for place in chosen], rule),
        *errors,
        explained[0] if explained else None,
        explained[1:],
    )


def _seconds_of(scorer: Literal, exact: Job, places: Sequence[int]) -> float:
    """Return the mean seconds of `set_weights`, `evaluate` and the restoring `set_weights`."""
    total = 0.0
    for place in places:
        at = exact.trace.evaluations[place]
        scorer.remove(at.removed)
        start = time.perf_counter()
        scorer.score(at.layer, at.removed, [at.node])
        total += time.perf_counter() - start
    return total / len(places)


def _disagreements(
    decisions: Sequence[Decision],
    chosen: Sequence[int],
    judge: Judge,
    rule: Rule,
    progress: Progress,
) -> list[tuple[int, Decision]]:
    found = []
    with progress.task("Reference, sampled decisions", len(chosen)) as task:
        for place in chosen:
            ours = judge.decide(decisions[place], rule)
            if not is_same(ours, decisions[place]):
                found.append((place, ours))
            task.advance(1, differing=len(found))
    return found


def _errors(
    suite: Suite, decisions: Sequence[Decision], sides: Sides, progress: Progress
) -> tuple[float, float | None]:
    """Return the largest errors of the reference's and the exact importances on some probes."""
    judge, reference, exact = Judge(sides.deciding), [], []
    with progress.task("Float64 probes", suite.probes) as task:
        for place in even(len(decisions), suite.probes):
            decision = decisions[place]
            true = sides.truth.importance(decision.evaluation)
            reference.append(abs(judge.importance(decision.evaluation) - true))
            if not decision.is_bound:
                exact.append(abs(decision.importance - true))
            task.advance(1)
    return max(reference), max(exact, default=None)


def _nearest(decisions: Sequence[Decision], rule: Rule) -> float | None:
    return min((distance(decision, rule.thresholds) for decision in decisions), default=None)
