"""The qualitative findings of the thesis's chapter 4, each with a test of whether it holds.

Networks of different settings are other networks: they are compared by the Mann-Whitney test.
Strategies on the same network are compared pairwise: by Wilcoxon's signed ranks, and for the spread
by the test of Pitman and Morgan, which is the correlation of sums and differences.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

SURE = 0.05
ABOUT = 0.15
"""What counts as about as many: our reading, the thesis gives no bound."""


class Finding(NamedTuple):
    """One comparison: what, in numbers, p of the test, and whether the thesis's sentence holds.

    `holds` is None where the networks are too few to tell.
    """

    claim: str
    where: str
    numbers: str
    p: float
    holds: bool | None


def findings(sweeps: Path) -> Iterator[Finding]:
    """Yield every comparison for which trials are done.

    Args:
        sweeps: folder of the sweeps of configs/chapter4.
    """
    for name in ("4_2_ann", "4_2_mlp", "4_2_cnn"):
        yield from _more_unimportant(name, _trials(sweeps, name))
    for name in ("4_5_ann", "4_5_mlp", "4_5_cnn"):
        yield from _worse_at_once(name, _trials(sweeps, name))
    for name in ("4_7_mlp", "4_7_cnn"):
        yield from _as_many(name, _trials(sweeps, name))
    for name in ("4_6_ann", "4_6_mlp", "4_7_mlp", "4_8_cnn"):
        yield from _smaller_spread(name, _trials(sweeps, name))
    for name in ("4_9_ann", "4_9_mlp", "4_9_cnn"):
        yield from _nothing_brought(name, _trials(sweeps, name))


def _trials(sweeps: Path, name: str) -> pd.DataFrame:
    path = sweeps / name / "tables" / "trials.csv"
    return pd.read_csv(path) if path.exists() else pd.DataFrame({"setting": []})


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
                _holds(b.mean() > a.mean(), p, len(a) + len(b)),
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
            _holds(change.mean() > 0, p, len(change)),
        )


def _as_many(name: str, trials: pd.DataFrame) -> Iterator[Finding]:
    for threshold in ("1e-2", "1e-3"):
        for data, most, greedy in _pairs(trials, "exhaustive", f"greedy_{threshold}"):
            both = _beside(trials, most, greedy, ["removed", "test.loss_change", "seconds.prune"])
            more = (both["removed_2"] - both["removed_1"]).to_numpy(float)
            share = more.mean() / both["removed_1"].mean()
            kept = both["test.loss_change_2"].mean() / both["test.loss_change_1"].mean()
            faster = both["seconds.prune_1"].sum() / both["seconds.prune_2"].sum()
            p = _signed_ranks(more)
            yield Finding(
                "Greedy removes about as many nodes as exhaustive pruning",
                f"{name}, {data}, ignore_below -{threshold} ({len(more)} networks)",
                f"{more.mean():+.1f} nodes ({share:+.0%}), {kept:.0%} of the decrease of the test "
                f"loss, {faster:.1f} times as fast",
                p,
                bool(abs(share) <= ABOUT) if len(more) >= 3 else None,
            )


def _smaller_spread(name: str, trials: pd.DataFrame) -> Iterator[Finding]:
    for setting, rows in trials.groupby("setting", sort=False):
        before, after = (rows[f"test.loss_{moment}"].to_numpy() for moment in ("before", "after"))
        if len(before) < 3:
            continue
        # Morgan 1939, Pitman 1939: equal variances of pairs mean uncorrelated sum and difference.
        p = float(stats.pearsonr(before + after, before - after).pvalue)
        yield Finding(
            "The spread between networks shrinks when they are pruned",
            f"{name}, {setting} ({len(before)} networks)",
            f"standard deviation of the test loss {before.std(ddof=1):.4f} to "
            f"{after.std(ddof=1):.4f}",
            p,
            _holds(bool(after.std() < before.std()), p, len(before)),
        )


def _nothing_brought(name: str, trials: pd.DataFrame) -> Iterator[Finding]:
    for data, usual, drawn in _pairs(trials, "usual", "drawn"):
        a, b = (
            trials[trials["setting"] == s]["test.loss_before"].to_numpy(float)
            for s in (usual, drawn)
        )
        p = float(stats.mannwhitneyu(a, b).pvalue)
        better = b.mean() < a.mean() and p < SURE
        yield Finding(
            "Initial weights drawn anew until nodes are important bring nothing",
            f"{name}, {data} ({len(a)} and {len(b)} networks)",
            f"test loss {a.mean():.4f} as usual, {b.mean():.4f} drawn",
            p,
            not better if min(len(a), len(b)) >= 3 else None,
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


def _holds(is_so: bool, p: float, networks: int) -> bool | None:
    """Return whether a difference goes the thesis's way surely; None where it cannot be told."""
    if p >= SURE:
        return None if networks < 10 else False
    return bool(is_so)
