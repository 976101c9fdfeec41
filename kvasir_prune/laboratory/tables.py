"""The tables of a sweep: every trial, and the statistics of every setting."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

import pandas as pd

from kvasir_prune.laboratory.outcome import draws_of, outcome_of
from kvasir_prune.laboratory.trial import Trial
from kvasir_prune.publish import publish_text, sweep_partials

TRIALS, SUMMARY, DRAWS = "trials.csv", "summary.csv", "random_removal.csv"
STATISTICS = ("count", "mean", "std", "min", "25%", "50%", "75%", "max")
"""Of a quantity over the seeds, as in the tables of the thesis; std is that of a sample."""


def draws_summary(draws: pd.DataFrame) -> pd.DataFrame:
    """Return the statistics over the draws of every network and number of nodes.

    Args:
        draws: a row for every draw: setting, seed, nodes, number, loss, accuracy.

    Returns:
        Columns `setting`, `seed`, `nodes`, `quantity` and `STATISTICS` (thesis Table 4.1).
    """
    keys = ["setting", "seed", "nodes"]
    long = draws.drop(columns="number").melt(keys, var_name="quantity")
    return _described(long, [*keys, "quantity"])


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
    return _described(long, ["setting", "quantity"])


def publish_tables(trials: Sequence[Trial], folder: Path) -> Path:
    """Publish the tables of trials that are done.

    These are `trials.csv`, `summary.csv` and, where nodes were removed at random,
    `random_removal.csv`; none without trials.

    Args:
        trials: in the order of the rows.
        folder: made; earlier tables in it are replaced.
    """
    folder.mkdir(parents=True, exist_ok=True)
    sweep_partials(folder)
    if not trials:
        return folder
    varied = list(dict.fromkeys(key for trial in trials for key in trial.keys))
    rows = pd.DataFrame([outcome_of(trial) for trial in trials])
    first = ["setting", *varied, "seed"]
    rows = rows[[*first, *rows.columns.difference(first, sort=False)]]
    tables = {TRIALS: rows, SUMMARY: summary_of(rows, varied)}
    draws = [pd.DataFrame(rows) for trial in trials if len(rows := draws_of(trial))]
    if draws:
        tables[DRAWS] = draws_summary(pd.concat(draws, ignore_index=True))
    for name, table in tables.items():
        publish_text(folder / name, table.to_csv(index=False, lineterminator="\n"))
    return folder


def _described(long: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Return `STATISTICS` of the column `value` for every combination of the other ones."""
    groups = long.dropna().groupby(keys, sort=False)["value"]
    return groups.describe()[list(STATISTICS)].astype({"count": int}).reset_index()
