"""Whether the pruned network is shown to be no worse than a margin allows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from kvasir_prune.evaluation.intervals import Estimate

Finding = Literal["non-inferior", "inferior", "not shown", "not assessed"]


@dataclass(frozen=True)
class Verdict:
    """A verdict on one quantity, of which more is better.

    Attributes:
        margin: the loss that would be acceptable, a fraction.
        difference: after minus before with its two-sided 95 % interval.
        finding: `non-inferior` if the whole interval lies above -margin, `inferior` if it lies
            below, `not shown` if it holds -margin: these images are too few to tell. `not
            assessed` without an interval.
    """

    margin: float
    difference: Estimate
    finding: Finding


def judge(difference: Estimate, margin: float) -> Verdict:
    """Judge a difference (ICH E9, section 3.3.2: by the interval, not by a test of no difference).

    Args:
        difference: after minus before; its lower end is that of a one-sided 97.5 % interval.
        margin: above 0, below 1.
    """
    low, high = difference.low, difference.high
    finding: Finding
    if low is None or high is None:
        finding = "not assessed"
    elif low > -margin:
        finding = "non-inferior"
    elif high < -margin:
        finding = "inferior"
    else:
        finding = "not shown"
    return Verdict(margin, difference, finding)
