"""The reliability diagram: how often a network is right against how sure it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from kvasir_prune.evaluation.calibration import CalibrationBin
from kvasir_prune.evaluation.comparison import Comparison
from kvasir_prune.report import notation
from kvasir_prune.report.drawing import BLUE, INK


def reliability(comparison: Comparison) -> Figure:
    """Draw the diagrams before and after pruning side by side (Guo et al. 2017, figure 1)."""
    figure = Figure(figsize=(8.2, 3.3))
    change = comparison.overall["ece"]
    for left, moment, bins, error in (
        (0.08, "Before", comparison.calibration_before, change.before),
        (0.57, "After", comparison.calibration_after, change.after),
    ):
        axes = figure.add_axes((left, 0.15, 0.36, 0.7))
        axes.set_title(
            f"{moment} pruning: calibration error {notation.tenths(error.value)}%", fontsize=9
        )
        axes.set_xlabel("Confidence (%)")
        axes.set_ylabel("Right answers (%)")
        _draw_bins(axes, bins)
    return figure


def _draw_bins(axes: Any, bins: Sequence[CalibrationBin]) -> None:
    axes.set_xlim(0, 100)
    axes.set_ylim(0, 108)
    axes.set_yticks(range(0, 101, 20))
    axes.plot([0, 100], [0, 100], color=INK, linewidth=0.8, linestyle=(0, (4, 3)))
    for one in bins:
        if one.accuracy is None:
            continue
        width, height = 100 * (one.high - one.low), 100 * one.accuracy
        bar = Rectangle((100 * one.low, 0), width, height, facecolor=BLUE, alpha=0.55)
        axes.add_patch(bar)
        axes.add_patch(
            Rectangle((100 * one.low, 0), width, height, fill=False, edgecolor=BLUE, linewidth=1.0)
        )
        axes.text(
            100 * one.low + width / 2,
            height + 1.5,
            notation.count(one.images),
            ha="center",
            fontsize=6.5,
        )
