"""The figures with curves: the evolution (thesis Figures 5.1 to 5.4) and the training history."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any, NamedTuple

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from kvasir_prune.report import notation
from kvasir_prune.report.drawing import INK, STYLES, spread
from kvasir_prune.report.schema import EvolutionPoint, Training, TurningPoint
from kvasir_prune.types import TRAIN, VALIDATION

_LABEL_GAP = 0.145  # inches between two lines of small text


class Curve(NamedTuple):
    """The values of one split, `y` against `x`; accuracies in percent."""

    split: str
    x: Sequence[float]
    y: Sequence[float]


class Stretch(NamedTuple):
    """A layer, and how many nodes were removed when its pruning began and when it ended."""

    layer: str
    start: int
    end: int


def curves_of(points: Sequence[EvolutionPoint], quantity: str, names: Sequence[str]) -> list[Curve]:
    """Return the curves of `loss` or `accuracy`, one for each of the named splits."""
    removed = [point.removed for point in points]
    scale = 100 if quantity == "accuracy" else 1
    return [
        Curve(name, removed, [scale * getattr(getattr(p, name), quantity) for p in points])
        for name in names
    ]


def stretches_of(points: Sequence[EvolutionPoint]) -> list[Stretch]:
    """Return the stretches of the layers, in the order of pruning."""
    start, found = points[0].removed, []
    for layer, members in groupby(points, key=lambda point: point.layer):
        end = list(members)[-1].removed
        if layer is not None:
            found.append(Stretch(layer, start, end))
        start = end
    return found


def evolution(
    curves: Sequence[Curve],
    stretches: Sequence[Stretch],
    quantity: str,
    turn: TurningPoint | None = None,
) -> Figure:
    """Draw one quantity against the number of removed nodes.

    Args:
        curves: one or more, of two or more points each.
        stretches: where each layer's pruning began and ended.
        quantity: `loss` or `accuracy`.
        turn: is marked and named, if there is one.
    """
    figure = Figure(figsize=(8.2, 3.7))
    axes = figure.add_axes((0.08, 0.14, 0.82, 0.62))
    ends = [*(curve.x[-1] for curve in curves), *(stretch.end for stretch in stretches)]
    axes.set_xlim(min(curve.x[0] for curve in curves), max(ends))
    axes.set_xlabel("Nodes removed")
    axes.xaxis.set_major_formatter("{x:,.0f}")
    _draw_curves(axes, curves, quantity)
    if len(curves) == 1:
        axes.axhline(curves[0].y[0], color=INK, linestyle=":", linewidth=0.8, alpha=0.7)
    _mark_layers(axes, stretches)
    if turn is not None:
        scale = 100 if quantity == "accuracy" else 1
        _mark_turn(axes, turn, getattr(turn.test_then, quantity) * scale)
    return figure


def _draw_curves(axes: Any, curves: Sequence[Curve], quantity: str) -> None:
    """Draw curves and write each one's name where it ends."""
    accuracy = quantity == "accuracy"
    axes.set_ylabel("Accuracy (%)" if accuracy else "Loss (nats)")
    axes.grid(axis="y")
    axes.margins(y=0.08)
    for curve in curves:
        alone = "o" if len(curve.x) == 1 else ""
        axes.plot(curve.x, curve.y, marker=alone, markersize=4, **STYLES[curve.split])
    low, high = axes.get_ylim()
    height = axes.get_position().height * axes.figure.get_figheight()
    ends = sorted(curves, key=lambda curve: curve.y[-1])
    places = spread([c.y[-1] for c in ends], 1.3 * _LABEL_GAP / height * (high - low), low, high)
    for curve, place in zip(ends, places, strict=True):
        end = (curve.x[-1], curve.y[-1])
        value = f"{notation.percent(end[1] / 100)}%" if accuracy else notation.loss(end[1])
        axes.annotate(
            f"{notation.split_name(curve.split)} {value}",
            xy=end,
            xytext=(1.03, place),
            textcoords=axes.get_yaxis_transform(),
            va="center",
            fontsize=8.5,
            annotation_clip=False,
            arrowprops={
                "arrowstyle": "-",
                "shrinkA": 1,
                "shrinkB": 0,
                "relpos": (0, 0.5),
                "linewidth": 1.2,
                **STYLES[curve.split],
            },
        )
    axes.set_ylim(low, high)


def _mark_layers(axes: Any, stretches: Sequence[Stretch]) -> None:
    """Draw where each layer was finished, and its name above the stretch it took."""
    first, last = axes.get_xlim()
    for stretch in stretches[:-1]:
        axes.axvline(stretch.end, color=INK, linewidth=0.5, alpha=0.45)
    width = axes.get_position().width * axes.figure.get_figwidth()
    middles = [(stretch.start + stretch.end) / 2 for stretch in stretches]
    overhang = 0.05 * (last - first)
    places = spread(middles, _LABEL_GAP / width * (last - first), first, last + overhang)
    for middle, place, stretch in zip(middles, places, stretches, strict=True):
        axes.annotate(
            notation.printable(stretch.layer),
            xy=(middle, 1.0),
            xytext=(place, 1.1),
            xycoords=axes.get_xaxis_transform(),
            textcoords=axes.get_xaxis_transform(),
            rotation=90,
            rotation_mode="anchor",
            ha="left",
            va="center",
            fontsize=7.5,
            annotation_clip=False,
        )
        axes.plot(
            [middle, place],
            [1.01, 1.085],
            transform=axes.get_xaxis_transform(),
            color=INK,
            linewidth=0.5,
            alpha=0.6,
            clip_on=False,
        )


def _mark_turn(axes: Any, turn: TurningPoint, height: float) -> None:
    """Mark where the test loss was lowest, and say so below the curve."""
    axes.plot(turn.removed, height, marker="o", markersize=6, color=INK, fillstyle="none")
    axes.axvline(turn.removed, color=INK, linewidth=0.8, linestyle=(0, (4, 3)), alpha=0.8)
    rightward = turn.removed < turn.removed_after
    axes.annotate(
        "lowest test loss",
        xy=(turn.removed, 0.03),
        xytext=(5 if rightward else -5, 0),
        xycoords=axes.get_xaxis_transform(),
        textcoords="offset points",
        ha="left" if rightward else "right",
        fontsize=8,
    )


def training_history(training: Training) -> Figure:
    """Draw loss and accuracy against the epoch, side by side."""
    figure = Figure(figsize=(8.2, 2.7))
    x = [epoch.epoch for epoch in training.epochs]
    for left, quantity in ((0.08, "loss"), (0.6, "accuracy")):
        axes = figure.add_axes((left, 0.17, 0.27, 0.72))
        scale = 100 if quantity == "accuracy" else 1
        curves = [
            Curve(name, x, [scale * getattr(e, f"{name}_{quantity}") for e in training.epochs])
            for name in (TRAIN, VALIDATION)
        ]
        axes.set_xlabel("Epoch")
        axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
        axes.axvline(training.best_epoch, color=INK, linewidth=0.7, alpha=0.6)
        _draw_curves(axes, curves, quantity)
        axes.text(
            training.best_epoch,
            1.03,
            f"epoch {training.best_epoch}, kept",
            transform=axes.get_xaxis_transform(),
            ha="center",
            fontsize=8,
        )
    return figure
