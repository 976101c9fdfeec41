"""The page of a sweep: its statistics, published ones beside them, and figures of both."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup

from kvasir_prune.laboratory import plots
from kvasir_prune.laboratory.published import KEYS, STATISTICS, theirs
from kvasir_prune.publish import publish_text
from kvasir_prune.report import captions, html, markdown, notation
from kvasir_prune.report.captions import Words
from kvasir_prune.report.publishing import publish_all
from kvasir_prune.report.tables import Column, Row, Table
from kvasir_prune.types import SPLITS

SHOWN = (
    *("removed", "evaluations", "seconds.train", "seconds.importance", "seconds.prune"),
    *(f"test.{name}_{moment}" for name in ("loss", "accuracy") for moment in ("before", "after")),
    *("test.loss_change", "test.accuracy_change"),
)
"""Quantities on the page even if nobody has published them; the others are in `summary.csv`."""
HERE, THERE = "here", "published"


def publish_page(
    folder: Path,
    *,
    title: str,
    lead: str,
    summary: pd.DataFrame,
    comparison: pd.DataFrame | None,
    trials: pd.DataFrame,
) -> None:
    """Publish `sweep.html`, `sweep.md` and `figures/*.svg`.

    Args:
        folder: existing folder of the tables.
        title: name of the sweep.
        lead: what it is for and how far it is.
        summary: as `summary_of` returns it, or `draws_summary`.
        comparison: as `beside` returns it; None where nothing is published.
        trials: a row for every trial.
    """
    families = dict(families_of(summary, comparison))
    published = None if comparison is None else theirs(comparison)
    drawn = plots.draw(families, published, trials)
    words = {plots.name_of(family): plots.words_of(family) for family in families}
    words = {name: words.get(name) or captions.of_figure(name) for name in drawn}
    values: dict[str, Any] = {
        "title": notation.printable(title),
        "lead": notation.printable(lead),
        "tables": [
            _table(quantity, rows, comparison)
            for members in families.values()
            for quantity, rows in members.items()
        ],
        "figures": words,
        "note": captions.note,
    }
    publish_all(folder / "figures", {f"{name}.svg": svg for name, svg in drawn.items()})
    links = {name: f"figures/{name}.svg" for name in drawn}
    text = {"picture": lambda name: markdown.picture(words[name], name, links)}
    publish_text(folder / "sweep.md", markdown.render_template("sweep.md.j2", {**values, **text}))
    drawings = {"drawings": {name: Markup(svg) for name, svg in drawn.items()}}
    publish_text(
        folder / "sweep.html", html.render_template("sweep.html.j2", {**values, **drawings})
    )


def families_of(
    summary: pd.DataFrame, comparison: pd.DataFrame | None
) -> Iterator[tuple[str, Mapping[str, pd.DataFrame]]]:
    """Gather the quantities that are shown by what stands before their layer or class.

    Yields:
        A family, such as `important`, and quantity -> its rows of the summary.
    """
    told = set(SHOWN) if comparison is None else {*SHOWN, *comparison["quantity"]}
    if "nodes" in summary.columns:
        told |= set(summary["quantity"])
    families: dict[str, dict[str, pd.DataFrame]] = {}
    for quantity, rows in summary.groupby("quantity", sort=False):
        name = str(quantity)
        if name in told:
            families.setdefault(family_of(name), {})[name] = rows
    yield from families.items()


def family_of(quantity: str) -> str:
    """Return a quantity without its layer, class, stage or moment."""
    parts = quantity.split(".")
    if parts[0] not in SPLITS:
        return parts[0]
    # Every class has two moments already: too many for one family.
    of_class = len(parts) > 2
    return f"{parts[0]}.{parts[1] if of_class else parts[1].partition('_')[0]}"


def _table(quantity: str, rows: pd.DataFrame, comparison: pd.DataFrame | None) -> Table:
    columns = (
        Column("Setting", is_text=True),
        Column("Whose", is_text=True),
        *(Column(head) for head in ("n", *STATISTICS[1:], "difference", "p")),
    )
    words = Words(quantity, captions.note("sweep_quantity"))
    key = quantity.replace(".", "_").replace(" ", "_")
    return Table(f"sweep_{key}", words, columns, tuple(_rows(quantity, rows, comparison)))


def _rows(quantity: str, rows: pd.DataFrame, comparison: pd.DataFrame | None) -> Iterator[Row]:
    keys = [key for key in KEYS if key in rows.columns]
    known = pd.DataFrame() if comparison is None else comparison
    if len(known):
        known = known[known["quantity"] == quantity].set_index(keys)
    for row in rows.to_dict("records"):
        name = row["setting"] + (f", {row['nodes']} nodes" if "nodes" in row else "")
        own = (name, HERE, *_statistics(row, ""))
        place = tuple(row[key] for key in keys)
        if place not in known.index:
            yield (*own, *(notation.DASH,) * 2)
            continue
        found = known.loc[place].to_dict()
        difference = notation.number(_told(found["difference"]))
        yield (*own, difference, notation.p_value(_told(found["p_holm"])))
        yield (name, THERE, *_statistics(found, "published."), *(notation.DASH,) * 2)


def _statistics(row: Mapping[Any, Any], prefix: str) -> Iterator[str]:
    count = _told(row[f"{prefix}count"])
    yield notation.count(None if count is None else int(count))
    for name in STATISTICS[1:]:
        yield notation.number(_told(row[f"{prefix}{name}"]))


def _told(value: float) -> float | None:
    return None if pd.isna(value) else float(value)
