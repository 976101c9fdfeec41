"""How the cost of pruning grows with the number of images and with the width of the layers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from benchmarks.problem import Problem
from benchmarks.trace import job
from benchmarks.widened import with_width
from kvasir_prune.progress import Progress
from kvasir_prune.pruning import Exhaustive, Greedy, Strategy

IMAGES, WIDTH = "images", "width"
IMAGE_FACTORS = (1, 2, 4)
WIDTHS = (0.5, 1.0, 2.0)
"""Factors on the nodes of every hidden layer; each network is trained like the suite's own."""


@dataclass(frozen=True)
class Point:
    """One pruning: what it was given and what it cost (wall-clock seconds, warm)."""

    strategy: str
    images: int
    nodes: int
    evaluations: int
    seconds: float

    @property
    def seconds_per_evaluation(self) -> float:
        """Return the mean cost of one candidate."""
        return self.seconds / self.evaluations


def exponent(sizes: Sequence[float], costs: Sequence[float]) -> float:
    """Return the slope of log cost over log size by least squares: 1 is linear."""
    slope, _ = np.polyfit(np.log(sizes), np.log(costs), 1)
    return float(slope)


def line(sizes: Sequence[float], costs: Sequence[float]) -> tuple[float, float, float]:
    """Return slope, intercept and R^2 of a straight line by least squares."""
    slope, intercept = np.polyfit(sizes, costs, 1)
    rest = np.asarray(costs) - (slope * np.asarray(sizes) + intercept)
    spread = np.asarray(costs) - np.mean(costs)
    return float(slope), float(intercept), float(1 - (rest @ rest) / (spread @ spread))


def growth(problem: Problem, by: str, progress: Progress) -> dict[str, object]:
    """Measure points and fit them.

    Args:
        problem: of a simple suite; its images are taken as a quarter, a half and whole.
        by: "images" or "width".
        progress: told of every pruning.

    Returns:
        For the JSON file: the points; by images a line and an exponent of the seconds for one
        evaluation; by width the exponents of evaluations and of seconds for each strategy.
    """
    if by == IMAGES:
        problems = [_with_images(problem, factor) for factor in IMAGE_FACTORS]
        points = [_point(p, p.strategy(), progress) for p in problems]
        return {"points": [_plain(point) for point in points], **_by_images(points)}
    low, ignore = problem.config.importance.low, problem.config.pruning.ignore_below
    strategies: tuple[Strategy, ...] = (Greedy(low, ignore), Exhaustive(low))
    found: list[Point] = []
    for strategy in strategies:
        problems = [with_width(problem, factor, progress) for factor in WIDTHS]
        found += [_point(p, strategy, progress) for p in problems]
    return {"points": [_plain(point) for point in found], **_by_width(found)}


def _point(problem: Problem, strategy: Strategy, progress: Progress) -> Point:
    """Prune twice with one scorer; the first time compiles."""
    name = type(strategy).__name__.lower()
    images, nodes = len(problem.scoring_set), sum(layer.nodes for layer in problem.layers)
    made = problem.scorer()
    for title in ("cold", "warm"):
        measured = job(
            made,
            strategy,
            problem.layers,
            title=f"{name}, {images} images, {nodes} nodes, {title}",
            progress=progress,
        )
    return Point(name, images, nodes, measured.evaluations, measured.seconds)


def _by_images(points: Sequence[Point]) -> dict[str, object]:
    sizes = [float(point.images) for point in points]
    each = [point.seconds_per_evaluation for point in points]
    slope, intercept, fit = line(sizes, each)
    return {
        "seconds_per_evaluation_and_image": slope,
        "seconds_per_evaluation_fixed": intercept,
        "r_squared": fit,
        "exponent_in_images": exponent(sizes, each),
    }


def _by_width(points: Sequence[Point]) -> dict[str, object]:
    fits: dict[str, object] = {}
    for name in dict.fromkeys(point.strategy for point in points):
        own = [point for point in points if point.strategy == name]
        nodes = [float(point.nodes) for point in own]
        fits[f"exponent_in_nodes_of_evaluations_{name}"] = exponent(
            nodes, [float(point.evaluations) for point in own]
        )
        fits[f"exponent_in_nodes_of_seconds_{name}"] = exponent(
            nodes, [point.seconds for point in own]
        )
    return fits


def _plain(point: Point) -> dict[str, object]:
    return {**vars(point), "seconds_per_evaluation": point.seconds_per_evaluation}


def _with_images(problem: Problem, factor: int) -> Problem:
    step = max(IMAGE_FACTORS) // factor
    return replace(problem, scoring_set=problem.scoring_set.every(step))
