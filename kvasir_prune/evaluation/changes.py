"""Quantities of two networks and the intervals of their differences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from kvasir_prune.evaluation.answers import Floats, Ints
from kvasir_prune.evaluation.intervals import Estimate, tango
from kvasir_prune.evaluation.resampling import interval

_NO_INTERVAL = ("ece",)
"""The binned error lies above the true one, the more so the better calibrated a network is, and its
replicates lie above it again: neither it nor a difference of it has an interval that covers."""

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
        paired: score intervals of differences. The bootstrap calls a difference certain where no
            answer flipped, which a score interval does not; one that has both gets the outer ends.
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


def paired_difference(right: Sequence[NDArray[np.bool_]], groups: Ints) -> Estimate:
    """Return the difference of two shares of right answers with its score interval.

    Where images come in groups, the interval is the outer one of two: of images, and of as many
    independent trials as there are groups, with the same shares of flips, as if all images of a
    group flipped together.

    Args:
        right: (n,) which images are right before, and (n,) which after.
        groups: (n,) which of them belong together.
    """
    was_right, is_right = right
    images, trials = len(was_right), len(np.unique(groups))
    gained = int(np.count_nonzero(~was_right & is_right))
    lost = int(np.count_nonzero(was_right & ~is_right))
    by_image = tango(gained, lost, images)
    if trials in (0, images):
        return by_image
    return _outer(by_image, tango(gained * trials / images, lost * trials / images, trials))


def mean_difference(parts: Sequence[Estimate]) -> Estimate:
    """Return the mean of independent differences with its interval from theirs.

    The method of variance estimates recovery (MOVER; Zou and Donner 2008): distances from the
    estimates to the ends of the intervals add up as standard errors do.
    """
    if not parts or any(p.value is None or p.low is None or p.high is None for p in parts):
        return Estimate()
    values, lows, highs = (
        np.array([getattr(p, end) for p in parts]) for end in ("value", "low", "high")
    )
    mean = float(values.mean())
    down, up = (float(np.linalg.norm(end - values)) / len(parts) for end in (lows, highs))
    return Estimate(mean, max(-1.0, mean - down), min(1.0, mean + up))


def _with_interval(name: str, network: tuple[Estimates, Drawn]) -> Estimate:
    """Return an estimate with the interval it came with, or else that of its replicates."""
    estimates, drawn = network
    known = estimates[name]
    if known.low is not None or name in _NO_INTERVAL:
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
    if name in _NO_INTERVAL:
        return Estimate(now - was)
    difference = interval(now - was, after[1][name] - before[1][name])
    return _outer(difference, paired[name]) if name in paired else difference


def _outer(one: Estimate, other: Estimate) -> Estimate:
    lows = [e.low for e in (one, other) if e.low is not None]
    highs = [e.high for e in (one, other) if e.high is not None]
    return Estimate(one.value, min(lows, default=None), max(highs, default=None))
