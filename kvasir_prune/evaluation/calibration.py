"""Whether a network is right as often as it is sure: the expected calibration error."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kvasir_prune.evaluation.answers import Answers

BINS = 15
"""Equal steps of confidence (Guo et al. 2017)."""


@dataclass(frozen=True)
class CalibrationBin:
    """One bar of a reliability diagram: images whose confidence lies in (low, high]."""

    low: float
    high: float
    images: int
    confidence: float | None
    accuracy: float | None


def bin_of(answers: Answers) -> NDArray[np.intp]:
    """Return (n,) the bin of each image's confidence, 0 to `BINS` - 1."""
    upper = np.linspace(0, 1, BINS + 1)[1:]
    return np.minimum(np.searchsorted(upper, answers.confidences), BINS - 1)


def reliability(answers: Answers) -> list[CalibrationBin]:
    """Return all bins, lowest confidence first; the means of an empty one are None."""
    edges, bins = np.linspace(0, 1, BINS + 1), bin_of(answers)
    confidences, right = answers.confidences, answers.is_right
    return [
        CalibrationBin(
            float(edges[b]),
            float(edges[b + 1]),
            int(here.sum()),
            float(confidences[here].mean()) if here.any() else None,
            float(right[here].mean()) if here.any() else None,
        )
        for b in range(BINS)
        for here in (bins == b,)
    ]


def calibration_error(answers: Answers) -> float:
    """Return the mean distance of confidence and accuracy over the bins, by images (0 to 1).

    Expected calibration error of the class named (Naeini et al. 2015; Guo et al. 2017).
    """
    excess = answers.confidences - answers.is_right
    sums = np.bincount(bin_of(answers), weights=excess, minlength=BINS)
    return float(np.abs(sums).sum() / len(excess))
