"""The figures of the report, each an SVG; `drawing` holds their look, `curves` those with curves.

Nothing is told by colour alone: curves differ in line style, bars in filling, and every cell of a
heat map carries its number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from matplotlib.collections import PatchCollection
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from kvasir_prune.report import captions, curves, notation
from kvasir_prune.report.drawing import (
    BLUE,
    INK,
    VERMILLION,
    bare,
    house_style,
    to_svg,
)
from kvasir_prune.report.reliability import reliability
from kvasir_prune.report.schema import Record
from kvasir_prune.report.tables import NodeCounts, classes, splits
from kvasir_prune.types import SPLITS, TEST

_ALL = tuple(reversed(SPLITS))


def draw(record: Record) -> dict[str, str]:
    """Draw every figure the record has something to show for.

    Args:
        record: the whole of `report.json`.

    Returns:
        SVG texts by name: `evolution_loss_all`, `evolution_loss_test`, `evolution_accuracy_all` and
        `evolution_accuracy_test` (thesis Figures 5.1 to 5.4; absent if nothing was removed),
        `training_history` (absent without epochs), `reliability` (absent without test images),
        `nodes_per_layer` (absent without layers), and `confusion_delta_<split>` for every split.
        The same record gives the same texts, under one version of Matplotlib.
    """
    with house_style():
        return {
            name: to_svg(plot(), name, captions.of_figure(name, splits(record)).alt)
            for name, plot in _plots(record)
        }


def _plots(record: Record) -> Iterator[tuple[str, Callable[[], Figure]]]:
    points, turn = record.results.evolution, record.results.turning_point
    if len(points) > 1:
        stretches = curves.stretches_of(points)
        for quantity in ("loss", "accuracy"):
            for shown, names in (("all", _ALL), ("test", (TEST,))):
                drawn = curves.curves_of(points, quantity, names)
                yield (
                    f"evolution_{quantity}_{shown}",
                    lambda drawn=drawn, quantity=quantity: curves.evolution(  # type: ignore[misc]
                        drawn, stretches, quantity, turn
                    ),
                )
    if record.results.training.epochs:
        yield "training_history", lambda: curves.training_history(record.results.training)
    if record.results.assessment is not None:
        judged = record.results.assessment.comparison
        yield "reliability", lambda: reliability(judged)
    if record.results.layers:
        yield "nodes_per_layer", lambda: nodes_per_layer(record.results.layers)
    deltas = {name: record.results.splits[name].confusion_delta_percent for name in splits(record)}
    cells = [value for delta in deltas.values() for row in delta for value in row]
    most = max((abs(value) for value in cells if value is not None), default=0.0)
    for split, delta in deltas.items():
        yield (
            f"confusion_delta_{split}",
            lambda delta=delta: _heat_map(delta, classes(record), most),  # type: ignore[misc]
        )


_BARS: dict[str, dict[str, Any]] = {
    "important": {"facecolor": BLUE, "edgecolor": BLUE},
    "zero": {"facecolor": "none", "edgecolor": INK},
    "worse": {"facecolor": "none", "edgecolor": VERMILLION, "hatch": "//////"},
    "removed": {"facecolor": INK, "edgecolor": INK, "alpha": 0.7},
}


def nodes_per_layer(layers: Sequence[NodeCounts]) -> Figure:
    """Draw thesis Table 5.2 as bars of equal length, one pair a layer."""
    row = 0.36  # inches
    figure = Figure(figsize=(8.2, row * (len(layers) + 1)))
    axes = figure.add_axes((0.2, 0.0, 0.66, 1.0))
    axes.set_xlim(0, 100)
    axes.set_ylim(len(layers) - 0.4, -1.4)
    for y, layer in enumerate(layers):
        _layer_bars(axes, y, layer)
    axes.set_yticks(
        range(len(layers)),
        [f"{notation.printable(layer.name)}  ({layer.nodes:,})" for layer in layers],
    )
    axes.set_xticks([])
    bare(axes)
    measured = any(layer.important is not None for layer in layers)
    kinds = tuple(_BARS) if measured else ("removed",)
    for place, kind in zip((0, 20, 34, 49), kinds, strict=False):
        axes.add_patch(Rectangle((place, -1.22), 3, 0.34, linewidth=0.6, **_BARS[kind]))
        axes.text(place + 4, -1.05, kind, va="center", fontsize=8.5)
    return figure


def _layer_bars(axes: Any, y: int, layer: NodeCounts) -> None:
    share = 100 / layer.nodes if layer.nodes else 0.0
    left = 0.0
    for kind in ("important", "zero", "worse"):
        number = getattr(layer, kind)
        if number is not None:
            box = Rectangle((left, y - 0.32), number * share, 0.36, linewidth=0.6, **_BARS[kind])
            axes.add_patch(box)
            left += number * share
    if layer.important is None:
        axes.text(0.5, y - 0.14, notation.NOT_MEASURED, va="center", fontsize=7.5, style="italic")
    removed = layer.removed or 0
    axes.add_patch(Rectangle((0, y + 0.12), removed * share, 0.2, linewidth=0, **_BARS["removed"]))
    said = "not known" if layer.removed is None else f"{removed:,} removed"
    axes.text(101.5, y, said, va="center", fontsize=8.5)


def _heat_map(delta: Sequence[Sequence[float | None]], names: Sequence[str], most: float) -> Figure:
    """Thesis Tables 5.3 to 5.5: blue is better and vermillion worse, wherever it stands.

    `most` is the largest change of all the maps that are to be compared; it has full colour.
    """
    n = len(names)
    cell, small = (0.54, 8.5) if n <= 12 else (0.36, 6.5)  # inches, points
    figure = Figure(figsize=(n * cell, n * cell))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(0, n)
    axes.set_ylim(n, 0)
    _heat_cells(axes, delta, most)
    _heat_numbers(axes, delta, small)
    ticks = [i + 0.5 for i in range(n)]
    axes.set_yticks(ticks, names, fontsize=small)
    axes.xaxis.tick_top()
    axes.set_xticks(
        ticks, names, fontsize=small, rotation=45, rotation_mode="anchor", ha="left", va="center"
    )
    axes.xaxis.set_label_position("top")
    axes.set_xlabel("Predicted class", labelpad=6)
    axes.set_ylabel("Actual class", labelpad=6)
    bare(axes)
    return figure


def _heat_cells(axes: Any, delta: Sequence[Sequence[float | None]], most: float) -> None:
    n = len(delta)
    faces = []
    for i, row in enumerate(delta):
        for j, value in enumerate(row):
            if value:
                better = (value > 0) == (i == j)
                strength = 0.1 + 0.62 * abs(value) / most
                face = to_rgba(BLUE if better else VERMILLION, strength)
                faces.append(Rectangle((j, i), 1, 1, facecolor=face, linewidth=0))
    axes.add_collection(PatchCollection(faces, match_original=True), autolim=False)
    hair = {"colors": INK, "linewidth": 0.4, "alpha": 0.25, "clip_on": False}
    axes.hlines(range(n + 1), 0, n, **hair)
    axes.vlines(range(n + 1), 0, n, **hair)
    for i in range(n):
        outline = Rectangle((i, i), 1, 1, fill=False, edgecolor=INK, linewidth=1.2, clip_on=False)
        axes.add_artist(outline)


def _heat_numbers(axes: Any, delta: Sequence[Sequence[float | None]], size: float) -> None:
    for i, row in enumerate(delta):
        for j, value in enumerate(row):
            text = axes.text(
                j + 0.5,
                i + 0.53,
                notation.points(value, 1),
                ha="center",
                va="center",
                fontsize=size,
                alpha=None if value else 0.55,
            )
            text.set_in_layout(False)
