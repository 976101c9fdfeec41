"""The qualitative findings of the thesis's chapter 4, each with a test of whether it holds.

Networks of different settings are other networks: they are compared by the Mann-Whitney test.
Strategies on the same network are compared pairwise: by Wilcoxon's signed ranks, and for the spread
by the test of Pitman and Morgan, which is the correlation of sums and differences. p is adjusted
after Holm over all rows of a claim that could tell something. That two things are about the same no
such test can show: there the 95 % interval of the mean (Student's) must lie within a bound.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats
from statsmodels.stats.multitest import multipletests

from chapter4.kept import KEPT, trials_of

SURE = 0.05
ABOUT = 0.25
"""What counts as about as many nodes. The thesis gives no bound, but calls so what differs by up to
a fifth in its own results (MNIST, MLP)."""


class Finding(NamedTuple):
    """One comparison: what, in numbers, p of the test, and whether the thesis's sentence holds.

    `p` is None where an interval decides or nothing could be told, `holds` where it cannot be told.
    `least_p` is the smallest p that so many networks can come to, whatever they do.
    """

    claim: str
    where: str
    numbers: str
    p: float | None
    holds: bool | None
    least_p: float = 0.0


def findings(kept: Path = KEPT) -> list[Finding]:
    """Return every comparison for which trials are kept.

    Args:
        kept: as in `chapter4.kept.keep`.
    """
    found = list[Finding]()
    for compare, names in (
        (_more_unimportant, ("4_2_ann", "4_2_mlp", "4_2_cnn")),
        (_worse_at_once, ("4_5_ann", "4_5_mlp", "4_5_cnn")),
        (_as_many, ("4_7_mlp", "4_7_cnn")),
        (_smaller_spread, ("4_6_ann", "4_6_mlp", "4_7_mlp", "4_8_cnn")),
        (_nothing_brought, ("4_9_ann", "4_9_mlp", "4_9_cnn")),
    ):
        of_claim = [one for name in names for one in compare(name, trials_of(name, kept))]
        found += _adjusted(of_claim) if any(one.p is not None for one in of_claim) else of_claim
    return found


def _adjusted(of_claim: Sequence[Finding]) -> list[Finding]:
    """Adjust the tests of a claim for their number; what may be chance cannot be told.

    Tests of too few networks to tell anything are none of them: Tarone 1990, Biometrics 46:515.
    """
    p = np.array([one.p for one in of_claim])
    tells = np.array([one.least_p < SURE for one in of_claim])
    if tells.any():
        p[tells] = multipletests(p[tells], method="holm")[1]
    return [
        one._replace(p=float(p[place]), holds=one.holds if p[place] < SURE else None)
        if tells[place]
        else one._replace(p=None, holds=None)
        for place, one in enumerate(of_claim)
    ]


def _pairs(trials: pd.DataFrame, one: str, other: str) -> Iterator[tuple[str, str, str]]:
    """Yield the data sets that have both settings, with their names."""
    names = set(trials["setting"])
    for data in ("mnist", "fashion_mnist", "cifar10"):
        both = (f"{data}_{one}", f"{data}_{other}")
        if names.issuperset(both):
            yield data, *both


def _more_unimportant(name: str, trials: pd.DataFrame) -> Iterator[Finding]:
    layers = [column.removeprefix("zero.") for column in trials if column.startswith("zero.")]
    for data, train, validation in _pairs(trials, "train", "validation"):
        for layer in layers:
            useless = trials[f"zero.{layer}"] + trials[f"worse.{layer}"]
            a, b = (useless[trials["setting"] == s].to_numpy(float) for s in (train, validation))
            p = float(stats.mannwhitneyu(a, b).pvalue)
            numbers = f"{a.mean():.1f} on training, {b.mean():.1f} on validation images"
            yield Finding(
                "More nodes are unimportant on validation than on training images",
                f"{name}, {data}, {layer} ({len(a)} and {len(b)} networks)",
                numbers,
                p,
                bool(b.mean() > a.mean()),
                2 / math.comb(len(a) + len(b), len(a)),
            )


def _worse_at_once(name: str, trials: pd.DataFrame) -> Iterator[Finding]:
    for setting, rows in trials.groupby("setting", sort=False):
        change = rows["test.loss_change"].to_numpy(float)
        p = _signed_ranks(change)
        worse = int((change > 0).sum())
        yield Finding(
            "Removing all unimportant nodes at once makes networks worse",
            f"{name}, {setting} ({len(change)} networks)",
            f"test loss {change.mean():+.4f}, worse in {worse} of {len(change)}",
            p,
            bool(change.mean() > 0),
            2 / 2 ** len(change),
        )


def _as_many(name: str, trials: pd.DataFrame) -> Iterator[Finding]:
    for threshold in ("1e-2", "1e-3"):
        for data, most, greedy in _pairs(trials, "exhaustive", f"greedy_{threshold}"):
            both = _beside(trials, most, greedy, ["removed", "test.loss_change", "seconds.prune"])
            more = (both["removed_2"] - both["removed_1"]).to_numpy(float)
            share, low, high = _interval(more / both["removed_1"].mean())
            left = both["test.loss_change_2"].mean() / both["test.loss_change_1"].mean()
            yield Finding(
                "Greedy removes about as many nodes as exhaustive pruning",
                f"{name}, {data}, ignore_below -{threshold} ({len(more)} networks)",
                f"{more.mean():+.1f} nodes ({share:+.0%}; {low:+.0%} to {high:+.0%}), {left:.0%} "
                f"of the decrease of the test loss{_faster(both)}",
                None,
                _lies(low, high, -ABOUT, ABOUT),
            )


def _faster(both: pd.DataFrame) -> str:
    """Say how many times as fast; a network one of whose times a kill cut off counts in neither."""
    times = both[["seconds.prune_1", "seconds.prune_2"]].dropna()
    if times.empty:
        return ""
    ratio = times["seconds.prune_1"].sum() / times["seconds.prune_2"].sum()
    some = "" if len(times) == len(both) else f" (times of {len(times)})"
    return f", {ratio:.1f} times as fast{some}"


def _smaller_spread(name: str, trials: pd.DataFrame) -> Iterator[Finding]:
    for setting, rows in trials.groupby("setting", sort=False):
        before, after = (rows[f"test.loss_{moment}"].to_numpy() for moment in ("before", "after"))
        # Exhaustive pruning of a network is that of 4.6 again.
        if len(before) < 3 or setting.endswith("exhaustive"):
            continue
        # Morgan 1939, Pitman 1939: equal variances of pairs mean uncorrelated sum and difference.
        p = float(stats.pearsonr(before + after, before - after).pvalue)
        yield Finding(
            "The spread between networks shrinks when they are pruned",
            f"{name}, {setting} ({len(before)} networks)",
            f"standard deviation of the test loss {before.std(ddof=1):.4f} to "
            f"{after.std(ddof=1):.4f}",
            p,
            bool(after.std() < before.std()),
        )


def _nothing_brought(name: str, trials: pd.DataFrame) -> Iterator[Finding]:
    for data, usual, drawn in _pairs(trials, "usual", "drawn"):
        both = _beside(trials, usual, drawn, ["test.loss_before"])
        a, b = (both[f"test.loss_before_{side}"].to_numpy(float) for side in (1, 2))
        if len(a) < 2:
            continue
        # Less than what another seed would bring.
        apart = a.std(ddof=1)
        gain, low, high = _interval(a - b)
        yield Finding(
            "Initial weights drawn anew until nodes are important bring nothing",
            f"{name}, {data} ({len(a)} networks)",
            f"test loss {a.mean():.4f} as usual, {b.mean():.4f} drawn: a gain of {gain:+.4f} "
            f"({low:+.4f} to {high:+.4f}), where networks lie {apart:.4f} apart",
            None,
            _lies(low, high, -np.inf, apart),
        )


def _beside(trials: pd.DataFrame, one: str, other: str, columns: list[str]) -> pd.DataFrame:
    """Return two settings' columns side by side, a row for every seed that both have."""
    first, second = (
        trials[trials["setting"] == setting].set_index("seed")[columns] for setting in (one, other)
    )
    return first.merge(second, left_index=True, right_index=True, suffixes=("_1", "_2"))


def _signed_ranks(values: np.ndarray) -> float:
    """Return p of Wilcoxon's test that the values lie around zero; 1 where all are zero."""
    return float(stats.wilcoxon(values).pvalue) if np.any(values) else 1.0


def _interval(values: np.ndarray) -> tuple[float, float, float]:
    """Return the mean of values and the ends of its 95 % interval (Student's)."""
    half = stats.t.ppf(0.975, len(values) - 1) * stats.sem(values) if len(values) > 1 else np.inf
    return values.mean(), values.mean() - half, values.mean() + half


def _lies(low: float, high: float, least: float, most: float) -> bool | None:
    """Return whether an interval lies within bounds; None where only a part of it does."""
    if least < low and high < most:
        return True
    return False if high <= least or low >= most else None
