"""The tables of a sweep: every trial, and the statistics of every setting."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

import pandas as pd

from kvasir_prune.config.sweep import Sweep
from kvasir_prune.laboratory.outcome import draws_of, outcome_of
from kvasir_prune.laboratory.page import publish_page
from kvasir_prune.laboratory.published import STATISTICS, beside, read_published
from kvasir_prune.laboratory.trial import Trial
from kvasir_prune.publish import publish_text, sweep_partials

TRIALS, SUMMARY, DRAWS = "trials.csv", "summary.csv", "random_removal.csv"
COMPARISON = "comparison.csv"


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
    long = pd.concat([trials["setting"], numbers], axis=1).melt("setting", var_name="quantity")
    return _described(long, ["setting", "quantity"])


def publish_tables(sweep: Sweep, trials: Sequence[Trial], folder: Path) -> Path:
    """Publish the tables of trials that are done, and the page that shows them.

    These are `trials.csv`, `summary.csv`, where nodes were removed at random `random_removal.csv`,
    beside published results `comparison.csv`, and `sweep.html`, `sweep.md` and their figures; none
    without trials.

    Args:
        sweep: of the trials.
        trials: in the order of the rows.
        folder: made; earlier tables in it are replaced.

    Raises:
        LaboratoryError: the published results cannot be used.
    """
    published = published_of(sweep)
    folder.mkdir(parents=True, exist_ok=True)
    sweep_partials(folder)
    if not trials:
        return folder
    varied = list(dict.fromkeys(key for trial in trials for key in trial.keys))
    rows = pd.DataFrame([outcome_of(trial) for trial in trials])
    first = ["setting", *varied, "seed", "network", "computed_by", "device"]
    rows = rows[[*first, *rows.columns.difference(first, sort=False)]]
    shown = summary_of(rows, varied)
    tables = {TRIALS: rows, SUMMARY: shown}
    draws = [pd.DataFrame(drawn) for trial in trials if len(drawn := draws_of(trial))]
    if draws:
        shown = tables[DRAWS] = draws_summary(pd.concat(draws, ignore_index=True))
    comparison = None if published is None else beside(shown, published)
    if comparison is not None:
        tables[COMPARISON] = comparison
    for name, table in tables.items():
        publish_text(folder / name, table.to_csv(index=False, lineterminator="\n"))
    all_trials = len(sweep.settings) * len(sweep.seeds)
    lead = f"{sweep.config.description} {len(trials)} of {all_trials} trials are done.".strip()
    publish_page(
        folder,
        title=sweep.config.name,
        lead=lead,
        summary=shown,
        comparison=comparison,
        trials=rows,
    )
    return folder


def published_of(sweep: Sweep) -> pd.DataFrame | None:
    """Read what the sweep is set beside, None for nothing; raises as `read_published`."""
    if sweep.published is None:
        return None
    return read_published(sweep.published, [setting.group for setting in sweep.settings])


def _described(long: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Return `STATISTICS` of the column `value` for every combination of the other ones."""
    groups = long.dropna().groupby(keys, sort=False)["value"]
    return groups.describe()[list(STATISTICS)].astype({"count": int}).reset_index()
