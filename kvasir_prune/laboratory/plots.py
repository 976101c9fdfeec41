"""The figures of a sweep: means with their spread, nodes against losses, and random removal."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from kvasir_prune.report import captions
from kvasir_prune.report.captions import Words
from kvasir_prune.report.drawing import BLUE, INK, VERMILLION, house_style, to_svg

SCATTER, REMOVAL = "sweep_scatter", "sweep_random_removal"
MARKERS = "osD^vP*X<>"
PANEL, ROW = 1.9, 0.3
"""Width of a panel and height of a row, in inches."""
MOST_BESIDE = 5
"""Panels in a line."""
OURS: dict[str, Any] = {"color": BLUE, "marker": "o", "markersize": 4.5}
THEIRS: dict[str, Any] = {
    "color": VERMILLION,
    "marker": "D",
    "markersize": 4.5,
    "markerfacecolor": "none",
}

Families = Mapping[str, Mapping[str, pd.DataFrame]]


def name_of(family: str) -> str:
    """Return the name of the figure that shows one family of quantities."""
    return f"family_{family.replace('.', '_')}"


def words_of(family: str) -> Words:
    """Return what is said of that figure."""
    note = captions.note("sweep_dots")
    return Words(family, note, alt=f"{family}: {note}")


def draw(
    families: Families, published: pd.DataFrame | None, trials: pd.DataFrame
) -> dict[str, str]:
    """Draw what there is to show.

    Args:
        families: family -> quantity -> rows of the summary.
        published: rows of published statistics, or None.
        trials: a row for every trial.

    Returns:
        SVG texts by name: `family_NAME` for every family (thesis Figures 4.3, 4.11 to 4.40),
        `sweep_scatter` (4.41 to 4.48, 4.53 to 4.64) where nodes were pruned,
        `sweep_random_removal` (4.1, 4.2, 4.6, 4.7) in place of all where they went at random.
    """
    with house_style():
        plots = _plots(families, published, trials)
        return {name: to_svg(plot(), name, label) for name, label, plot in plots}


def _plots(
    families: Families, published: pd.DataFrame | None, trials: pd.DataFrame
) -> Iterator[tuple[str, str, Callable[[], Figure]]]:
    members = [rows for family in families.values() for rows in family.values()]
    if any("nodes" in rows.columns for rows in members):
        yield REMOVAL, captions.of_figure(REMOVAL).alt, lambda: _removal(families, published)
        return
    order = list(dict.fromkeys(trials["setting"]))
    for name, family in families.items():
        figure = partial(_dots, name, family, published, order)
        yield name_of(name), words_of(name).alt, figure
    if {"removed", "test.loss_change"} <= set(trials.columns):
        yield SCATTER, captions.of_figure(SCATTER).alt, lambda: _scatter(trials)


def _dots(
    name: str,
    family: Mapping[str, pd.DataFrame],
    published: pd.DataFrame | None,
    order: Sequence[str],
) -> Figure:
    """A panel for every quantity, a row for every setting: mean and standard deviation."""
    known = {setting for rows in family.values() for setting in rows["setting"]}
    settings = [setting for setting in order if setting in known]
    columns = min(len(family), MOST_BESIDE)
    lines = -(-len(family) // columns)
    size = (2.4 + PANEL * columns, lines * (0.9 + ROW * len(settings)))
    figure = Figure(figsize=size, layout="tight")
    grid = figure.subplots(lines, columns, sharey=True, squeeze=False)
    places = {setting: place for place, setting in enumerate(settings)}
    for axes in grid.flat[len(family) :]:
        axes.set_visible(False)
    for axes, (quantity, rows) in zip(grid.flat, family.items(), strict=False):
        _bars(axes, rows, places, shift=-0.12, **OURS)
        if published is not None:
            others = published[published["quantity"] == quantity]
            _bars(axes, others, places, shift=0.12, **THEIRS)
        # The heading names the family.
        axes.set_title(quantity.removeprefix(name).lstrip("._") or quantity, fontsize=8.5)
        axes.grid(axis="x")
        axes.tick_params(axis="x", labelrotation=35)
    grid[0, 0].set_yticks(range(len(settings)), settings)
    grid[0, 0].set_ylim(len(settings) - 0.5, -0.5)
    return figure


def _bars(
    axes: Any, rows: pd.DataFrame, places: Mapping[str, int], *, shift: float, **style: Any
) -> None:
    heights = [places[name] + shift for name in rows["setting"]]
    axes.errorbar(rows["mean"], heights, xerr=rows["std"].fillna(0.0), linestyle="", **style)


def _scatter(trials: pd.DataFrame) -> Figure:
    """A point for every trial: nodes removed, and what that did to the loss of the test images."""
    figure = Figure(figsize=(7.2, 4.2))
    axes = figure.subplots()
    for number, (name, rows) in enumerate(trials.groupby("setting", sort=False)):
        axes.plot(
            rows["removed"],
            rows["test.loss_change"],
            linestyle="",
            marker=MARKERS[number % len(MARKERS)],
            markersize=4.5,
            markerfacecolor="none",
            label=str(name),
        )
    axes.axhline(0.0, color=INK, linewidth=0.8)
    axes.set_xlabel("Nodes removed")
    axes.set_ylabel("Change of the test loss (nats)")
    axes.grid()
    axes.legend(fontsize=7.5, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def _removal(families: Families, published: pd.DataFrame | None) -> Figure:
    """Mean and standard deviation against the number of nodes that were drawn, a row a quantity."""
    quantities = {name: rows for family in families.values() for name, rows in family.items()}
    settings = list(dict.fromkeys(n for rows in quantities.values() for n in rows["setting"]))
    figure = Figure(figsize=(0.8 + 3.2 * len(settings), 2.4 * len(quantities)), layout="tight")
    grid = figure.subplots(len(quantities), len(settings), squeeze=False)
    for line, (quantity, rows) in zip(grid, quantities.items(), strict=True):
        for axes, setting in zip(line, settings, strict=True):
            own = rows[rows["setting"] == setting]
            axes.errorbar(own["nodes"], own["mean"], yerr=own["std"], **OURS)
            if published is not None:
                chosen = published["quantity"].eq(quantity) & published["setting"].eq(setting)
                others = published[chosen]
                axes.errorbar(
                    others["nodes"], others["mean"], yerr=others["std"], linestyle="--", **THEIRS
                )
            axes.set_xscale("log", base=2)
            axes.set_xticks(own["nodes"].to_list(), [str(n) for n in own["nodes"]])
            axes.set_title(f"{setting}: {quantity}", fontsize=8.5)
            axes.set_xlabel("Nodes drawn")
            axes.grid()
    return figure
