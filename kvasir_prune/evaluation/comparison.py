"""Two networks on the same images: what changed, by how much, and whether it could be noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kvasir_prune.evaluation import performance, resampling
from kvasir_prune.evaluation import significance as tests
from kvasir_prune.evaluation.answers import Answers, Ints
from kvasir_prune.evaluation.calibration import CalibrationBin, reliability
from kvasir_prune.evaluation.changes import (
    Change,
    changes,
    mean_difference,
    paired_difference,
    without_interval,
)
from kvasir_prune.evaluation.intervals import Estimate
from kvasir_prune.evaluation.resampling import Draws, Metrics

LEAST_GROUPS = 10
"""Groups of images below which drawing them says nothing about others like them."""
ON_OTHERS = ("specificity", "npv")
"""Metrics of a class that rest on the images of the other classes."""

Answered = tuple[Answers, Answers]
"""The answers of the network before and of the one after to the same images."""


@dataclass(frozen=True)
class ClassComparison:
    """One class against the rest.

    Attributes:
        name: of the class or group of classes.
        images: of the class.
        groups: near-duplicate groups they fall into; as many as images where none is known.
        metrics: see `performance.BY_CLASS`.
        mcnemar: of the class's own images; adjusted for the number of classes.

    Where the images fall into fewer than 10 groups, differences that rest on them have no interval.
    """

    name: str
    images: int
    groups: int
    metrics: dict[str, Change]
    mcnemar: tests.McNemar


@dataclass(frozen=True)
class Comparison:
    """All that is said about one set of images.

    Attributes:
        images: number of images.
        groups: independent groups they fall into.
        replicates: of the bootstrap.
        overall: see `performance.OVERALL`.
        classes: in the order of their numbers.
        mcnemar: of all images.
        homogeneity: whether each class is named as often as before (Stuart and Maxwell).
        symmetry: whether moves between two classes balance (Bowker).
        moved: (classes, classes) images by the class named before (rows) and after (columns).
        calibration_before, calibration_after: the bars of the reliability diagrams.
        flips_needed: the fewest one-way flips that the exact McNemar test calls significant.
        flips_needed_by_class: the same for one of the classes, after Holm's adjustment.
    """

    images: int
    groups: int
    replicates: int
    overall: dict[str, Change]
    classes: list[ClassComparison]
    mcnemar: tests.McNemar
    homogeneity: tests.ChiSquared
    symmetry: tests.ChiSquared
    moved: list[list[int]]
    calibration_before: list[CalibrationBin]
    calibration_after: list[CalibrationBin]
    flips_needed: int
    flips_needed_by_class: int


def compare(
    before: Answers,
    after: Answers,
    names: Sequence[str],
    *,
    groups: Ints | None = None,
    seed: int = 0,
    replicates: int = resampling.REPLICATES,
) -> Comparison:
    """Compare two networks on the images both were asked about.

    Args:
        before: answers of the one network, to one image or more.
        after: answers of the other network to the same images.
        names: of the classes.
        groups: (n,) which images belong together (near-duplicates, one patient, one video),
            numbered from 0; None takes every image for itself.
        seed: of the bootstrap.
        replicates: of the bootstrap.
    """
    both, labels = (before, after), before.labels
    groups = np.arange(len(labels)) if groups is None else groups
    drawn = [_replicates(answers, Draws(groups, seed, replicates)) for answers in both]
    moved = np.zeros((len(names), len(names)), np.int64)
    np.add.at(moved, (before.predicted, after.predicted), 1)
    return Comparison(
        images=len(labels),
        groups=len(np.unique(groups)),
        replicates=replicates,
        overall=_overall(both, groups, [overall for overall, _ in drawn]),
        classes=_classes(both, names, groups, [by_class for _, by_class in drawn]),
        mcnemar=tests.mcnemar(before.is_right, after.is_right),
        homogeneity=tests.stuart_maxwell(moved),
        symmetry=tests.bowker(moved),
        moved=moved.tolist(),
        calibration_before=reliability(before),
        calibration_after=reliability(after),
        flips_needed=tests.flips_needed(),
        flips_needed_by_class=tests.flips_needed(len(np.unique(labels))),
    )


def _overall(both: Answered, groups: Ints, drawn: Sequence[Metrics]) -> dict[str, Change]:
    values = [performance.overall(answers) for answers in both]
    networks = list(zip(values, drawn, strict=True))
    labels, right = both[0].labels, [answers.is_right for answers in both]
    of_classes = [
        paired_difference([r[labels == k] for r in right], groups[labels == k])
        for k in np.unique(labels)
    ]
    paired = {
        "accuracy": paired_difference(right, groups),
        "balanced_accuracy": mean_difference(of_classes),
    }
    found = changes(networks[0], networks[1], paired)
    if has_few_groups(len(np.unique(groups)), len(labels)):
        return {name: without_interval(change) for name, change in found.items()}
    return found


def _classes(
    both: Answered, names: Sequence[str], groups: Ints, drawn: Sequence[Metrics]
) -> list[ClassComparison]:
    labels, right = both[0].labels, [answers.is_right for answers in both]
    values = [performance.by_class(answers) for answers in both]
    own_tests = tests.mcnemar_by_class(right[0], right[1], labels, len(names))
    found = []
    for k, name in enumerate(names):
        networks = [
            (of_class[k], {metric: column[:, k] for metric, column in replicates.items()})
            for of_class, replicates in zip(values, drawn, strict=True)
        ]
        images, in_groups = int((labels == k).sum()), len(np.unique(groups[labels == k]))
        metrics = changes(networks[0], networks[1], _paired(both, k, groups))
        if has_few_groups(in_groups, images):
            metrics = {
                metric: change if metric in ON_OTHERS else without_interval(change)
                for metric, change in metrics.items()
            }
        found.append(ClassComparison(name, images, in_groups, metrics, own_tests[k]))
    return found


def has_few_groups(groups: int, images: int) -> bool:
    """Return whether images come in groups, and in too few for an interval of a change."""
    return groups < min(LEAST_GROUPS, images)


def _paired(both: Answered, k: int, groups: Ints) -> dict[str, Estimate]:
    is_it = both[0].labels == k
    right = [(answers.predicted == k) == is_it for answers in both]
    return {
        "sensitivity": paired_difference([r[is_it] for r in right], groups[is_it]),
        "specificity": paired_difference([r[~is_it] for r in right], groups[~is_it]),
    }


def _replicates(answers: Answers, draws: Draws) -> tuple[Metrics, Metrics]:
    """Return all draws' metrics of the whole network and of its classes."""
    parts = [resampling.measure(answers, weights) for weights in draws]
    overall, by_class = (
        {name: np.concatenate([part[name] for part in half]) for name in half[0]}
        for half in zip(*parts, strict=True)
    )
    return overall, by_class
