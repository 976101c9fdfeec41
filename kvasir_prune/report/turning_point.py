"""Where pruning began to fit the images it judged by, and no longer others."""

from __future__ import annotations

from collections.abc import Sequence

from kvasir_prune.report.schema import EvolutionPoint, TurningPoint
from kvasir_prune.types import TEST

NOTABLE = 0.01
"""Share of the lowest test loss by which both losses must have changed since; less is jitter."""


def turning_point(
    evolution: Sequence[EvolutionPoint], chosen_on: str | None
) -> TurningPoint | None:
    """Return the point from which on the test loss rose while the loss that was judged by fell.

    It is the last point of the lowest test loss (Charpentier 2020, section 5.3 calls what follows
    overfitting). It describes a finished pruning; to stop there would be to choose on the test set.

    Args:
        evolution: in the order of pruning.
        chosen_on: the split that decided which nodes went; None if they were drawn at random.

    Returns:
        None where the test loss rose by less than a hundredth, where the other loss did not fall by
        as much, or where the nodes were drawn at random.
    """
    if chosen_on is None or chosen_on == TEST or len(evolution) < 2:
        return None
    lowest = min(point.test.loss for point in evolution)
    turn = [point for point in evolution if point.test.loss == lowest][-1]
    end = evolution[-1]
    judged_then, judged_now = getattr(turn, chosen_on).loss, getattr(end, chosen_on).loss
    least = NOTABLE * lowest
    if end.test.loss < lowest + least or judged_now > judged_then - least:
        return None
    return TurningPoint(
        removed=turn.removed,
        layer=turn.layer,
        removed_after=end.removed - turn.removed,
        test_then=turn.test,
        test_at_the_end=end.test,
        judged_then=judged_then,
        judged_at_the_end=judged_now,
    )
