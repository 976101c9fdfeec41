"""The tables of a sweep: every trial, and the statistics of every setting."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

import pandas as pd

from kvasir_prune.laboratory.outcome import Row
from kvasir_prune.publish import publish_text, sweep_partials

TRIALS, SUMMARY = "trials.csv", "summary.csv"
STATISTICS = ("count", "mean", "std", "min", "25%", "50%", "75%", "max")
"""Of a quantity over the seeds, as in the tables of the thesis; std is that of a sample."""


def summary_of(trials: pd.DataFrame, varied: Collection[str] = ()) -> pd.DataFrame:
    """Return the statistics of every quantity in every setting.

    Args:
        trials: a row for every trial, with the columns `setting` and `seed`; others that are no
            numbers are left out.
        varied: columns that say what was varied.

    Returns:
        Columns `setting`, `quantity` and `STATISTICS`, in the order of the first appearance.
    """
    numbers = trials.select_dtypes("number").drop(columns=["seed", *varied], errors="ignore")
    long = numbers.assign(setting=trials["setting"]).melt("setting", var_name="quantity")
    groups = long.dropna().groupby(["setting", "quantity"], sort=False)["value"]
    return groups.describe()[list(STATISTICS)].astype({"count": int}).reset_index()


def publish_tables(rows: Sequence[Row], folder: Path, varied: Collection[str] = ()) -> Path:
    """Publish `trials.csv` and `summary.csv`; nothing without rows."""
    folder.mkdir(parents=True, exist_ok=True)
    sweep_partials(folder)
    if rows:
        trials = pd.DataFrame(rows)
        publish_text(folder / TRIALS, trials.to_csv(index=False, lineterminator="\n"))
        summary = summary_of(trials, varied)
        publish_text(folder / SUMMARY, summary.to_csv(index=False, lineterminator="\n"))
    return folder
