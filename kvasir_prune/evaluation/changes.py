"""Quantities of two networks and the intervals of their differences."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from kvasir_prune.evaluation.answers import Floats
from kvasir_prune.evaluation.intervals import Estimate, tango
from kvasir_prune.evaluation.resampling import interval

_NO_OWN_INTERVAL = ("ece",)
"""Resampling adds noise, and noise adds to this error: the replicates of one network lie above its
estimate. In the difference that cancels."""

Estimates = Mapping[str, Estimate]
Drawn = Mapping[str, Floats]


@dataclass(frozen=True)
class Change:
    """A quantity before and after, and after minus before, each with its 95 % interval."""

    before: Estimate
    after: Estimate
    difference: Estimate


def changes(
    before: tuple[Estimates, Drawn], after: tuple[Estimates, Drawn], paired: Estimates
) -> dict[str, Change]:
    """Return the change of every metric.

    Args:
        before: of the one network, the estimates by metric and their replicates, (draws,) each.
        after: the same of the other network, on the same draws.
        paired: score intervals of the differences of proportions. The bootstrap knows which images
            belong together, but calls a difference certain where no answer flipped; the score
            interval does neither. A difference that has both gets their outer ends.
    """
    return {
        name: Change(
            _with_interval(name, before),
            _with_interval(name, after),
            _difference(name, before, after, paired),
        )
        for name in before[0]
    }


def without_interval(change: Change) -> Change:
    """Return a change whose difference is a number alone."""
    return replace(change, difference=Estimate(change.difference.value))


def paired_difference(was_right: NDArray[np.bool_], is_right: NDArray[np.bool_]) -> Estimate:
    """Return the difference of two shares of right answers with its score interval.

    Args:
        was_right: (n,) which images were right before.
        is_right: (n,) which of the same images are right after.
    """
    gained = int(np.count_nonzero(~was_right & is_right))
    lost = int(np.count_nonzero(was_right & ~is_right))
    return tango(gained, lost, len(was_right))


def _with_interval(name: str, network: tuple[Estimates, Drawn]) -> Estimate:
    """Return an estimate with the interval it came with, or else that of its replicates."""
    estimates, drawn = network
    known = estimates[name]
    if known.low is not None or name in _NO_OWN_INTERVAL:
        return known
    return interval(known.value, drawn[name])


def _difference(
    name: str,
    before: tuple[Estimates, Drawn],
    after: tuple[Estimates, Drawn],
    paired: Estimates,
) -> Estimate:
    was, now = before[0][name].value, after[0][name].value
    if was is None or now is None:
        return Estimate()
    difference = interval(now - was, after[1][name] - before[1][name])
    return _outer(difference, paired[name]) if name in paired else difference


def _outer(one: Estimate, other: Estimate) -> Estimate:
    lows = [e.low for e in (one, other) if e.low is not None]
    highs = [e.high for e in (one, other) if e.high is not None]
    return Estimate(one.value, min(lows, default=None), max(highs, default=None))
