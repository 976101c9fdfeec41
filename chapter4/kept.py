"""Our trials of chapter 4, kept beside what the thesis published: a row for each, no run folder.

A sweep of the CNN takes hours and its run folders gigabytes. Rows are enough for every statistic,
and those of another day count as if one sweep had made them all. Whoever changes what a page
computes deletes its kept rows.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from kvasir_prune.config.sweep import Sweep, load_sweep
from kvasir_prune.errors import LaboratoryError
from kvasir_prune.laboratory.published import KEYS, beside
from kvasir_prune.laboratory.sweep_folder import SweepFolder
from kvasir_prune.laboratory.tables import DRAWS, TRIALS, published_of, summary_of
from kvasir_prune.publish import publish_text

PAGES = Path(__file__).resolve().parent.parent / "configs" / "chapter4"
KEPT = PAGES / "trials"
OF_DRAWS = ".draws"
"""End of the name of a table of nodes removed at random."""
TEXTS = ("setting", "network", "computed_by", "device")
"""Columns that may look like numbers: a digest of 16 hexadecimal digits can be 1e5."""


def keep(sweeps: Path, kept: Path = KEPT) -> None:
    """Add the trials of sweeps to the kept ones, in place of those of the same setting and seed.

    Args:
        sweeps: folder of sweeps of configs/chapter4, each named as its page, with their tables.
        kept: folder of `NAME.csv` and, where nodes were removed at random, `NAME.draws.csv`.

    Raises:
        LaboratoryError: no such sweep has tables there, or its trials were computed by other code
            or packages than those that are kept.
        RunFolderError: a folder holds another sweep than its page describes.
        StorageError: the file system does not take the rows.
    """
    names = [page.stem for page in sorted(PAGES.glob("4_*.yaml"))]
    found = [name for name in names if (SweepFolder(sweeps / name).tables / TRIALS).exists()]
    if not found:
        raise LaboratoryError(
            "There are no tables of a sweep of chapter 4.",
            where=sweeps,
            expected="a folder with NAME/tables/trials.csv, NAME being that of a page",
            fix="run a sweep of configs/chapter4, or give the folder that holds its folder",
        )
    kept.mkdir(parents=True, exist_ok=True)
    for name in found:
        page, folder = _page(name), SweepFolder(sweeps / name)
        folder.check(page)
        for table, end in ((TRIALS, ""), (DRAWS, OF_DRAWS)):
            new, path = folder.tables / table, kept / f"{name}{end}.csv"
            if new.exists():
                rows = _joined(_read(path), _read(new), page, where=path)
                publish_text(path, rows.to_csv(index=False, lineterminator="\n"))


def kept_names(kept: Path = KEPT) -> list[str]:
    """Return the sweeps of which trials are kept, in the order of their sections."""
    return sorted(path.stem for path in kept.glob("4_*.csv") if not path.stem.endswith(OF_DRAWS))


def trials_of(name: str, kept: Path = KEPT) -> pd.DataFrame:
    """Return a row for every kept trial of a sweep, as in its `trials.csv`."""
    return _read(kept / f"{name}.csv")


def comparison_of(name: str, kept: Path = KEPT) -> pd.DataFrame | None:
    """Return the kept trials of a sweep beside the thesis's (`beside`); None without these.

    Raises:
        LaboratoryError: what the page calls published cannot be used.
    """
    published, draws = published_of(_page(name)), _read(kept / f"{name}{OF_DRAWS}.csv")
    if published is None:
        return None
    return beside(summary_of(trials_of(name, kept)) if draws.empty else draws, published)


def _page(name: str) -> Sweep:
    return load_sweep(PAGES / f"{name}.yaml")


def _read(path: Path) -> pd.DataFrame:
    if not path.exists():
        return pd.DataFrame({"setting": []})
    return pd.read_csv(path, dtype=dict.fromkeys(TEXTS, str))


def _joined(old: pd.DataFrame, new: pd.DataFrame, page: Sweep, *, where: Path) -> pd.DataFrame:
    """Return the rows of both in the order of the page's settings; new ones replace old ones."""
    by = {text for rows in (old, new) for text in rows.get("computed_by", pd.Series(dtype=str))}
    if len(by) > 1:
        raise LaboratoryError(
            "Trials of one table must be computed by the same code and packages.",
            where=where,
            got="; ".join(sorted(map(str, by))),
            fix="compute the new ones with those of the kept ones, or delete the kept table first",
        )
    columns = [*new.columns, *old.columns.difference(new.columns, sort=False)]
    rows = pd.concat([old, new])[columns] if len(old) else new
    keys = [key for key in (*KEYS, *page.config.repeated) if key in columns]
    rows = rows.drop_duplicates(keys, keep="last")
    order = {setting.group: place for place, setting in enumerate(page.settings)}
    return rows.sort_values(
        ["setting", "seed", *page.config.repeated],
        key=lambda column: column.map(order) if column.name == "setting" else column,
    )
