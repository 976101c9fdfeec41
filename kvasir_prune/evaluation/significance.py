"""Tests of what changed between two networks that saw the same images.

All of them take the images to be independent. Where images come in near-duplicate groups the
p-values are too small; the intervals of `resampling` are not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from kvasir_prune.evaluation.answers import Ints

ALPHA = 0.05

Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class McNemar:
    """The exact McNemar test of one set of images.

    Attributes:
        gained: images wrong before and right after.
        lost: images right before and wrong after.
        p: two-sided, of the binomial distribution; 1 where nothing changed.
        p_holm: `p` adjusted for the tests made together (Holm 1979); None for a test alone.
    """

    gained: int
    lost: int
    p: float
    p_holm: float | None = None


@dataclass(frozen=True)
class ChiSquared:
    """A statistic with its degrees of freedom and p-value; `p` is None where nothing changed."""

    statistic: float
    degrees_of_freedom: int
    p: float | None


def mcnemar(before: Bools, after: Bools) -> McNemar:
    """Return the exact test of whether as many images were gained as lost.

    Args:
        before: (n,) which images the first network gets right.
        after: (n,) which ones the second does.
    """
    from statsmodels.stats.contingency_tables import mcnemar as exact

    gained = int(np.count_nonzero(~before & after))
    lost = int(np.count_nonzero(before & ~after))
    return McNemar(gained, lost, float(exact([[0, lost], [gained, 0]], exact=True).pvalue))


def mcnemar_by_class(before: Bools, after: Bools, labels: Ints, classes: int) -> list[McNemar]:
    """Return the test of each class's own images, adjusted for all classes that have any."""
    tests = [mcnemar(before[labels == k], after[labels == k]) for k in range(classes)]
    present = [(labels == k).any() for k in range(classes)]
    adjusted = holm([test if known else None for test, known in zip(tests, present, strict=True)])
    return [new or old for old, new in zip(tests, adjusted, strict=True)]


def holm(tests: Sequence[McNemar | None]) -> list[McNemar | None]:
    """Return tests with the p-values adjusted for each other (Holm 1979); None stays None."""
    from statsmodels.stats.multitest import multipletests

    made = [test for test in tests if test is not None]
    if not made:
        return list(tests)
    adjusted = iter(multipletests([test.p for test in made], ALPHA, method="holm")[1])
    return [None if test is None else replace(test, p_holm=float(next(adjusted))) for test in tests]


def stuart_maxwell(table: Ints) -> ChiSquared:
    """Return the test of whether each class is named as often after as before (Stuart 1955).

    Args:
        table: (classes, classes) images by the class named before (rows) and after (columns).

    Returns:
        The statistic summed over the parts of the table between which no image moved, without
        which the covariance matrix is singular.
    """
    from statsmodels.stats.contingency_tables import SquareTable

    statistic, freedom = 0.0, 0
    for part in _moving_parts(table):
        found = SquareTable(table[np.ix_(part, part)], shift_zeros=False).homogeneity()
        statistic, freedom = statistic + float(found.statistic), freedom + int(found.df)
    return _chi_squared(statistic, freedom)


def bowker(table: Ints) -> ChiSquared:
    """Return the test of whether moves between two classes balance (Bowker 1948).

    Args:
        table: (classes, classes) images by the class named before (rows) and after (columns).

    Returns:
        The statistic over the pairs of classes between which images moved; other pairs count
        neither in it nor in the degrees of freedom.
    """
    from statsmodels.stats.contingency_tables import SquareTable

    pairs = np.argwhere(np.triu(table + table.T, 1))
    statistic = sum(
        float(SquareTable(table[np.ix_(pair, pair)], shift_zeros=False).symmetry().statistic)
        for pair in pairs
    )
    return _chi_squared(statistic, len(pairs))


def flips_needed(tests: int = 1) -> int:
    """Return how many flips, all in one direction, give an exact McNemar test below 5 %.

    Args:
        tests: how many tests are made together; the smallest p-value is multiplied by it (Holm).
    """
    flips = 1
    while 2 * 0.5**flips * tests >= ALPHA:
        flips += 1
    return flips


def _moving_parts(table: Ints) -> list[NDArray[np.intp]]:
    """Return the sets of two or more classes that images moved between."""
    moved = table.copy()
    np.fill_diagonal(moved, 0)
    number, part_of = connected_components(csr_array(moved), directed=False)
    parts = [np.flatnonzero(part_of == part) for part in range(number)]
    return [part for part in parts if len(part) > 1]


def _chi_squared(statistic: float, freedom: int) -> ChiSquared:
    from scipy.stats import chi2

    p = float(chi2.sf(statistic, freedom)) if freedom else None
    return ChiSquared(statistic, freedom, p)
