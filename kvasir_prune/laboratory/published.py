"""What somebody else has published, beside what a sweep has found."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import ttest_ind_from_stats
from statsmodels.stats.multitest import multipletests

from kvasir_prune.errors import LaboratoryError

STATISTICS = ("count", "mean", "std", "min", "25%", "50%", "75%", "max")
"""Of a quantity over the seeds, as in the tables of the thesis; std is that of a sample."""
KEYS = ("setting", "seed", "nodes", "quantity")
"""Columns that say what a row is about; the seed, which published rows lack, and the number of
nodes only where nodes were removed at random."""
ROUNDING = 1e-12
"""Largest standard deviation, relative to the mean or to 1, that equal numbers may seem to have."""
NEEDED = ("setting", "quantity", "count", "mean", "source")
FOR_A_PART = (
    "name it as the sweep does; to do only a part of a sweep, leave its settings and its grid as "
    "they are and take `--only SETTING`"
)


def read_published(path: Path, settings: Collection[str]) -> pd.DataFrame:
    """Read published statistics.

    Args:
        path: a CSV file with the columns `setting`, `quantity`, `STATISTICS` and `source`, for
            nodes removed at random `nodes` too. Statistics but the mean may be empty, and so may
            the count where there is no standard deviation.
        settings: of the sweep.

    Returns:
        The rows, in their order; the columns of `STATISTICS` are float64, NaN where empty.

    Raises:
        LaboratoryError: the file cannot be read, has not these columns, or speaks of settings that
            the sweep does not have.
    """
    try:
        table = pd.read_csv(path, dtype={"setting": str, "quantity": str, "source": str})
    except (OSError, ValueError) as error:
        raise _unusable(path, str(error), "a CSV file") from None
    missing = [name for name in NEEDED if name not in table.columns]
    if missing:
        raise _unusable(path, f"no column {', '.join(missing)}", f"the columns {', '.join(NEEDED)}")
    foreign = [name for name in table["setting"].unique() if name not in settings]
    if foreign:
        expected = f"one of {', '.join(settings)}"
        raise _unusable(path, f"the setting {foreign[0]}", expected, FOR_A_PART)
    numbers = table.reindex(columns=STATISTICS).apply(pd.to_numeric, errors="coerce")
    if numbers["mean"].isna().any():
        line = int(numbers["mean"].isna().idxmax()) + 2
        raise _unusable(path, f"no mean in line {line}", "a number in every row")
    keys = [name for name in KEYS if name in table.columns]
    twice = table.duplicated(keys)
    if twice.any():
        line = int(twice.idxmax()) + 2
        raise _unusable(path, f"line {line} speaks of the same as one before", "each row once")
    return pd.concat([table[keys], numbers.astype(float), table["source"]], axis=1)


def beside(summary: pd.DataFrame, published: pd.DataFrame) -> pd.DataFrame:
    """Compare statistics with published ones, cell by cell.

    Means are compared by Welch's test, which needs no more than what is published: counts, means
    and standard deviations; p is adjusted after Holm over all rows that have one. Where nothing
    varies on either side there is no p.

    Args:
        summary: as `summary_of` or `draws_summary` return it.
        published: as `read_published` returns it.

    Returns:
        The rows that both have, in the order of the published ones: keys, `STATISTICS`, those of
        the published rows with the prefix `published.`, `difference` (of the means, ours minus
        theirs), `p`, `p_holm`, `source`.
    """
    keys = [name for name in KEYS if name in summary.columns]
    shared = [name for name in keys if name in published.columns]
    others = published.rename(columns={name: f"published.{name}" for name in STATISTICS})
    both = others.merge(summary[[*keys, *STATISTICS]], on=shared, how="inner")
    both["difference"] = both["mean"] - both["published.mean"]
    both["p"] = _welch(both)
    told = both["p"].notna().to_numpy()
    both["p_holm"] = np.nan
    if told.any():
        both.loc[told, "p_holm"] = multipletests(both.loc[told, "p"], method="holm")[1]
    names = [f"published.{name}" for name in STATISTICS]
    return both[[*keys, *STATISTICS, *names, "difference", "p", "p_holm", "source"]]


def theirs(comparison: pd.DataFrame) -> pd.DataFrame:
    """Return the published side of what `beside` returns: keys and `STATISTICS`."""
    keys = [name for name in KEYS if name in comparison.columns]
    names = {f"published.{name}": name for name in STATISTICS}
    return comparison[[*keys, *names]].rename(columns=names)


def _welch(both: pd.DataFrame) -> pd.Series:
    """Return Welch's p of every row; NaN where a count, or all spread, is missing."""
    names = ("mean", "std", "count")
    own = [both[name].to_numpy(float) for name in names]
    others = [both[f"published.{name}"].to_numpy(float) for name in names]
    with np.errstate(divide="ignore", invalid="ignore"):
        p = ttest_ind_from_stats(*own, *others, equal_var=False).pvalue
    varies = _is_spread(own) | _is_spread(others)
    enough = (own[2] > 1) & (others[2] > 1)
    return pd.Series(np.where(varies & enough, p, np.nan), index=both.index)


def _is_spread(side: Sequence[NDArray[np.float64]]) -> NDArray[np.bool_]:
    """Return where there is more spread than the rounding of equal numbers leaves."""
    mean, std, _ = map(np.nan_to_num, side)
    varies: NDArray[np.bool_] = std > ROUNDING * np.maximum(1.0, np.abs(mean))
    return varies


def _unusable(
    path: Path, got: str, expected: str, fix: str = "correct the file"
) -> LaboratoryError:
    return LaboratoryError(
        "The published results of the sweep cannot be used.",
        where=path,
        got=got,
        expected=expected,
        fix=f"{fix}; or leave `published` out of the sweep",
    )
