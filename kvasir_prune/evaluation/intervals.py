"""Confidence intervals of proportions and of the difference of two paired ones.

All are score intervals: unlike the textbook ("Wald") interval they stay inside the possible range
and do not shrink to nothing where every image is right or wrong. Images are taken to be
independent; `resampling` holds the intervals that do not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from scipy.optimize import brentq
from scipy.stats import norm

CONFIDENCE = 0.95
"""Coverage of every interval of a report."""


@dataclass(frozen=True)
class Estimate:
    """A quantity with its 95 % confidence interval; None where it cannot be computed."""

    value: float | None = None
    low: float | None = None
    high: float | None = None


def wilson(successes: int, trials: int) -> Estimate:
    """Return a proportion with its score interval (Wilson 1927), empty without trials.

    Args:
        successes: 0 to `trials`.
        trials: images that the proportion is a share of.
    """
    from statsmodels.stats.proportion import proportion_confint

    if trials == 0:
        return Estimate()
    low, high = proportion_confint(successes, trials, alpha=1 - CONFIDENCE, method="wilson")
    return Estimate(successes / trials, float(low), float(high))


def wilson_f1(true_positives: int, false_positives: int, false_negatives: int) -> Estimate:
    """Return an F1 score with its interval, empty where the class neither occurs nor is named.

    F1 / (2 - F1) is a proportion, that of the true positives among all images that are of the class
    or called so; its Wilson interval is carried over ("Wilson indirect" of Lam, Gopal and Qian
    2023, arXiv:2309.14621).
    """
    share = wilson(true_positives, true_positives + false_positives + false_negatives)
    if share.value is None or share.low is None or share.high is None:
        return share
    return Estimate(*(2 * p / (1 + p) for p in (share.value, share.low, share.high)))


def tango(gained: float, lost: float, images: float, confidence: float = CONFIDENCE) -> Estimate:
    """Return the difference of two paired proportions with its score interval (Tango 1998).

    Args:
        gained: images wrong before and right after.
        lost: images right before and wrong after.
        images: all of them, the unchanged ones included; counts need not be whole.
        confidence: coverage of the interval, in (0, 1).

    Returns:
        (gained - lost) / images, in [-1, 1]; empty without images.
    """
    if images == 0:
        return Estimate()
    value, z = (gained - lost) / images, float(norm.ppf((1 + confidence) / 2))

    def distance(difference: float, limit: float) -> float:
        return _tango_score(difference, gained, lost, images) - limit

    edge = 1 - 1e-12
    low = -1.0 if value <= -edge else brentq(distance, -edge, value, args=(z,))
    high = 1.0 if value >= edge else brentq(distance, value, edge, args=(-z,))
    return Estimate(value, float(low), float(high))


def _tango_score(difference: float, gained: float, lost: float, images: float) -> float:
    """Return the score statistic of a supposed difference, falling in it (Tango 1998, eq. 6)."""
    b = -gained - lost + (2 * images - gained + lost) * difference
    c = -lost * difference * (1 - difference)
    share = (math.sqrt(max(b * b - 8 * images * c, 0.0)) - b) / (4 * images)
    variance = images * (2 * share + difference * (1 - difference))
    error = gained - lost - images * difference
    if variance > 0:
        return error / math.sqrt(variance)
    return math.copysign(math.inf, error) if error else 0.0
