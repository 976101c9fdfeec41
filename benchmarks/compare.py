"""Whether two scorers decide alike; and where they do not, whether that is rounding or a bug."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.trace import FINISHED, IGNORED, KEPT, REMOVED, Decision, Evaluation
from kvasir_prune.importance.scorer import Scorer

LARGEST_ROUNDING = 1e-6
"""Nats; a larger gap is never put down to rounding, whatever the reference's error."""
ROUNDING, BUG = "rounding", "bug"


@dataclass(frozen=True)
class Rule:
    """The thresholds of a strategy (nats): remove from `low` up, ignore at or below `ignore`."""

    low: float
    ignore: float | None

    @property
    def thresholds(self) -> tuple[float, ...]:
        """Return the importances at which an outcome changes."""
        return (self.low,) if self.ignore is None else (self.low, self.ignore)

    def outcome(self, importance: float) -> str:
        """Return what greedy makes of an importance."""
        if importance >= self.low:
            return REMOVED
        return IGNORED if self.ignore is not None and importance <= self.ignore else KEPT


@dataclass(frozen=True)
class Difference:
    """A decision that two scorers do not share; importances and gap in nats.

    Attributes:
        number: place among the compared run's decisions, from 1.
        gap: by float64: importance to the threshold between the outcomes, or best to rival.
        bound: largest gap that counts as rounding here: the reference's own error, capped.
        verdict: "rounding" or "bug".
    """

    number: int
    layer: str
    node_reference: int
    node_exact: int
    outcome_reference: str
    outcome_exact: str
    importance_reference: float
    importance_exact: float
    importance_float64: float
    gap: float
    bound: float
    verdict: str


class Judge:
    """Importances by one scorer; the loss of the last state is kept.

    Args:
        scorer: measures.
    """

    def __init__(self, scorer: Scorer) -> None:
        self._scorer = scorer
        self._state: object = None
        self._loss = 0.0

    def importance(self, at: Evaluation) -> float:
        """Return eq. 3.1 for one evaluation, nats."""
        if at.removed != self._state:
            self._loss = self._scorer.evaluate(at.removed).loss
            self._state = at.removed
        (score,) = self._scorer.score(at.layer, at.removed, [at.node])
        return self._loss - score.loss

    def decide(self, decision: Decision, rule: Rule) -> Decision:
        """Take a decision anew; of an exhaustive one only the two best nodes are looked at."""
        at = decision.evaluation
        importance = self.importance(at)
        if decision.rival is None:
            outcome = rule.outcome(importance)
            if decision.outcome == FINISHED and outcome != REMOVED:
                outcome = FINISHED
            return Decision(at, importance, outcome)
        rival = Evaluation(at.layer, at.removed, decision.rival)
        second = self.importance(rival)
        ahead = (importance, at.node) >= (second, rival.node)
        best = max(importance, second)
        outcome = REMOVED if best >= rule.low else FINISHED
        if ahead:
            return Decision(at, importance, outcome, rival.node, second)
        return Decision(rival, second, outcome, at.node, importance)


def is_same(one: Decision, other: Decision) -> bool:
    """Say whether two decisions remove the same node, or both none."""
    nodes = (one.evaluation.node, other.evaluation.node)
    return one.outcome == other.outcome and (one.outcome == FINISHED or nodes[0] == nodes[1])


def first_difference(ours: Sequence[Decision], theirs: Sequence[Decision]) -> int | None:
    """Return the place of the first decision that differs; before it the states are equal."""
    pairs = zip(ours, theirs, strict=False)
    places = (place for place, (one, other) in enumerate(pairs) if not is_same(one, other))
    return next(places, None if len(ours) == len(theirs) else min(len(ours), len(theirs)))


def explain(
    number: int,
    reference: Decision,
    exact: Decision,
    *,
    truth: Judge,
    rule: Rule,
    error: float,
) -> Difference:
    """Ask float64 about a difference.

    Args:
        number: of the decision, from 1.
        reference: what it made of a state.
        exact: what the exact scorer made of the same state.
        truth: float64.
        rule: thresholds.
        error: largest measured error of the reference's importances, nats.
    """
    bound = min(error, LARGEST_ROUNDING)
    true = truth.importance(exact.evaluation)
    gap = _gap(reference, exact, true, truth, rule)
    is_near = gap <= bound and abs(exact.importance - true) <= LARGEST_ROUNDING
    return Difference(
        number,
        exact.evaluation.layer,
        reference.evaluation.node,
        exact.evaluation.node,
        reference.outcome,
        exact.outcome,
        reference.importance,
        exact.importance,
        true,
        gap,
        bound,
        ROUNDING if is_near else BUG,
    )


def _gap(reference: Decision, exact: Decision, true: float, truth: Judge, rule: Rule) -> float:
    outcomes = {reference.outcome, exact.outcome}
    if outcomes == {REMOVED}:
        return abs(true - truth.importance(reference.evaluation))
    if outcomes == {KEPT, IGNORED} and rule.ignore is not None:
        return abs(true - rule.ignore)
    if REMOVED not in outcomes:
        return float("inf")
    gap = abs(true - rule.low)
    if outcomes == {REMOVED, IGNORED} and rule.ignore is not None:
        gap = max(gap, abs(true - rule.ignore))
    return gap
