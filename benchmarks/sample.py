"""Which evaluations stand for all of them, and which decisions are the most delicate."""

from __future__ import annotations

import math
from collections.abc import Sequence

from benchmarks.trace import Decision

DECISIONS = 200
NEAREST = 50


def even(count: int, size: int) -> list[int]:
    """Return `size` positions (all where there are fewer) spread evenly over `count`."""
    if size >= count:
        return list(range(count))
    return [(2 * number + 1) * count // (2 * size) for number in range(size)]


def distance(decision: Decision, thresholds: Sequence[float]) -> float:
    """Return how far (nats) a decision is from being another one.

    Of a candidate that was given up it is only known that it is beyond a threshold: such a one
    counts as far from all of them.

    Args:
        decision: greedy or exhaustive.
        thresholds: importances at which an outcome changes.
    """
    if decision.is_bound:
        return math.inf
    gaps = [abs(decision.importance - threshold) for threshold in thresholds]
    if decision.rival_importance is not None:
        gaps.append(decision.importance - decision.rival_importance)
    return min(gaps)


def delicate(
    decisions: Sequence[Decision],
    thresholds: Sequence[float],
    *,
    size: int = DECISIONS,
    nearest: int = NEAREST,
) -> list[int]:
    """Return positions of decisions to check, in order: the nearest ones, and an even rest.

    Args:
        decisions: of a whole run.
        thresholds: importances at which an outcome changes, nats.
        size: how many in all.
        nearest: how many of them are the nearest to a threshold (or to a tie).
    """
    by_distance = sorted(
        range(len(decisions)), key=lambda place: distance(decisions[place], thresholds)
    )
    chosen = set(by_distance[:nearest])
    rest = [place for place in range(len(decisions)) if place not in chosen]
    chosen.update(rest[place] for place in even(len(rest), size - len(chosen)))
    return sorted(chosen)
