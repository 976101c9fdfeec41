"""Our trials of chapter 4, kept beside what the thesis published: a row for each, no run folder.

A sweep of the CNN takes hours and its run folders gigabytes. Rows are enough for every statistic,
and those of another day count as if one sweep had made them all.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from kvasir_prune.config.sweep import Sweep, load_sweep
from kvasir_prune.laboratory.published import KEYS, beside
from kvasir_prune.laboratory.tables import DRAWS, TRIALS, published_of, summary_of
from kvasir_prune.publish import publish_text

PAGES = Path(__file__).resolve().parent.parent / "configs" / "chapter4"
KEPT = PAGES / "trials"
OF_DRAWS = ".draws"
"""End of the name of a table of nodes removed at random."""


def keep(sweeps: Path, kept: Path = KEPT) -> None:
    """Add the trials of finished sweeps to the kept ones, in place of those of the same seeds.

    Args:
        sweeps: folder of the sweeps of configs/chapter4, with their tables.
        kept: folder of `NAME.csv` and, where nodes were removed at random, `NAME.draws.csv`.
    """
    kept.mkdir(parents=True, exist_ok=True)
    for folder in sorted(sweeps.glob("4_*")):
        for table, end in ((TRIALS, ""), (DRAWS, OF_DRAWS)):
            new, path = folder / "tables" / table, kept / f"{folder.name}{end}.csv"
            if new.exists():
                rows = _joined(_read(path), _read(new), _page(folder.name))
                publish_text(path, rows.to_csv(index=False, lineterminator="\n"))


def kept_names(kept: Path = KEPT) -> list[str]:
    """Return the sweeps of which trials are kept, in the order of their sections."""
    return sorted(path.stem for path in kept.glob("4_*.csv") if not path.stem.endswith(OF_DRAWS))


def trials_of(name: str, kept: Path = KEPT) -> pd.DataFrame:
    """Return a row for every kept trial of a sweep, as in its `trials.csv`."""
    return _read(kept / f"{name}.csv")


def comparison_of(name: str, kept: Path = KEPT) -> pd.DataFrame | None:
    """Return the kept trials of a sweep beside the thesis's (`beside`); None without these."""
    published, draws = published_of(_page(name)), _read(kept / f"{name}{OF_DRAWS}.csv")
    if published is None:
        return None
    return beside(summary_of(trials_of(name, kept)) if draws.empty else draws, published)


def _page(name: str) -> Sweep:
    return load_sweep(PAGES / f"{name}.yaml")


def _read(path: Path) -> pd.DataFrame:
    if not path.exists():
        return pd.DataFrame({"setting": []})
    return pd.read_csv(path)


def _joined(old: pd.DataFrame, new: pd.DataFrame, page: Sweep) -> pd.DataFrame:
    """Return the rows of both in the order of the page's settings; new ones replace old ones."""
    order = {setting.group: place for place, setting in enumerate(page.settings)}
    columns = [*new.columns, *old.columns.difference(new.columns, sort=False)]
    rows = pd.concat([old, new])[columns] if len(old) else new
    keys = [key for key in KEYS if key in new.columns]
    rows = rows.drop_duplicates(keys, keep="last").sort_values("seed", kind="stable")
    return rows.sort_values("setting", key=lambda names: names.map(order), kind="stable")
