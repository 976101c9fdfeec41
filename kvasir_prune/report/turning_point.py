"""Where pruning began to fit the images it judged by, and no longer others."""

from __future__ import annotations

import math
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
        None where the test loss rose by less than a hundredth or not at all, where the other loss
        did not fall by as much, or where the nodes were drawn at random.
    """
    if chosen_on is None or chosen_on == TEST:
        return None
    judged = [getattr(point, chosen_on).loss for point in evolution]
    place = place_of_turn([point.test.loss for point in evolution], judged)
    if place is None:
        return None
    turn, end = evolution[place], evolution[-1]
    return TurningPoint(
        removed=turn.removed,
        layer=turn.layer,
        removed_after=end.removed - turn.removed,
        test_then=turn.test,
        test_at_the_end=end.test,
        judged_then=judged[place],
        judged_at_the_end=judged[-1],
    )


def place_of_turn(test: Sequence[float], judged: Sequence[float]) -> int | None:
    """Return where the test loss was lowest for the last time; None if that was no turn.

    Args:
        test: losses on the test images, in the order of pruning.
        judged: losses on the images that decided, at the same points.

    Returns:
        A place before the last, after which the one loss rose and the other fell; None also where a
        loss is not finite, since nothing is known of the course then.
    """
    if not test or not all(map(math.isfinite, (*test, *judged))):
        return None
    lowest = min(test)
    place = max(number for number, loss in enumerate(test) if loss == lowest)
    least = NOTABLE * lowest
    rose, fell = test[-1] - lowest, judged[place] - judged[-1]
    # A hundredth of a lowest loss of 0 asks for nothing.
    return place if min(rose, fell) >= least and min(rose, fell) > 0 else None
