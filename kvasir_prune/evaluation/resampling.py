"""Paired bootstrap over groups of images that belong together.

A replicate draws as many groups as there are, with replacement, and both networks are judged on
the same draw (Efron and Tibshirani 1993; for groups, the cluster bootstrap of Field and Welsh
2007). A draw is a weight for every image: how often its group was drawn. Metrics of a whole stack
of draws come from a few matrix products; calling scikit-learn for every draw takes minutes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from kvasir_prune.evaluation.answers import Answers, Floats, Ints
from kvasir_prune.evaluation.calibration import BINS, bin_of
from kvasir_prune.evaluation.intervals import CONFIDENCE, Estimate

REPLICATES = 2000
_AT_ONCE = 100

Metrics = dict[str, Floats]
"""Metric -> (replicates,) for a whole network, or (replicates, classes); NaN where undefined."""


@dataclass(frozen=True)
class Draws:
    """The draws of a bootstrap; iterated twice, they are the same.

    Yields the weights of the images, (some draws, n) float64, until all replicates are drawn.

    Attributes:
        groups: (n,) the group of each image, 0 to the number of groups - 1.
        seed: the same seed draws the same groups.
        replicates: of the bootstrap.
    """

    groups: Ints
    seed: int
    replicates: int = REPLICATES

    def __iter__(self) -> Iterator[Floats]:
        rng = np.random.default_rng(self.seed)
        number = int(self.groups.max()) + 1
        for start in range(0, self.replicates, _AT_ONCE):
            size = min(_AT_ONCE, self.replicates - start)
            counts = rng.multinomial(number, np.full(number, 1 / number), size=size)
            yield counts[:, self.groups].astype(np.float64)


def measure(answers: Answers, weights: Floats) -> tuple[Metrics, Metrics]:
    """Return the metrics of `performance.OVERALL` and of `performance.BY_CLASS`.

    Args:
        answers: of one network.
        weights: (draws, n) of the images.

    Returns:
        Metric -> (draws,), and metric -> (draws, classes). Means over classes are over those of the
        sample; a draw that misses one of them has none.
    """
    matrices, aurocs = _confusions(answers, weights), _aurocs(answers, weights)
    return _overall(answers, weights, matrices, aurocs), _by_class(matrices, aurocs)


def _overall(answers: Answers, weights: Floats, matrices: Floats, aurocs: Floats) -> Metrics:
    images = weights.sum(axis=1)
    present = np.unique(answers.labels)
    contrasted = present if len(present) > 1 else present[:0]
    with np.errstate(invalid="ignore", divide="ignore"):
        return {
            "accuracy": weights @ answers.is_right / images,
            **_from_confusion(matrices, present),
            "auroc": aurocs[:, contrasted].mean(axis=1)
            if len(contrasted)
            else np.full(len(weights), np.nan),
            "log_loss": weights @ answers.losses / images,
            "brier": weights @ answers.brier_scores / images,
            "ece": _calibration_errors(answers, weights) / images,
        }


def _by_class(matrices: Floats, aurocs: Floats) -> Metrics:
    hit = np.diagonal(matrices, axis1=1, axis2=2)
    miss, alarm = matrices.sum(axis=2) - hit, matrices.sum(axis=1) - hit
    clear = matrices.sum(axis=(1, 2))[:, None] - hit - miss - alarm
    with np.errstate(invalid="ignore", divide="ignore"):
        return {
            "sensitivity": hit / (hit + miss),
            "specificity": clear / (clear + alarm),
            "ppv": hit / (hit + alarm),
            "npv": clear / (clear + miss),
            "f1": 2 * hit / (2 * hit + miss + alarm),
            "auroc": aurocs,
        }


def interval(value: float | None, replicates: Floats) -> Estimate:
    """Return a value with the percentile interval of its replicates; undefined ones are left out.

    The estimate has no interval where a twentieth of the replicates or more is undefined, or where
    all agree: what never changes in the sample may still change in others.
    """
    known = replicates[~np.isnan(replicates)]
    if value is None or len(known) <= CONFIDENCE * len(replicates) or np.ptp(known) < 1e-12:
        return Estimate(value)
    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = np.percentile(known, (tail, 100 - tail))
    return Estimate(value, float(low), float(high))


def _confusions(answers: Answers, weights: Floats) -> Floats:
    """Return (draws, classes, classes) weighted images; rows are true classes."""
    n, k = len(answers.labels), answers.classes
    cells = answers.labels * k + answers.predicted
    indicator = csr_array((np.ones(n), (np.arange(n), cells)), shape=(n, k * k))
    return np.asarray(weights @ indicator).reshape(-1, k, k)


def _from_confusion(matrices: Floats, present: Ints) -> Metrics:
    hit = np.diagonal(matrices, axis1=1, axis2=2)
    truth, named = matrices.sum(axis=2), matrices.sum(axis=1)
    total, right = truth.sum(axis=1), hit.sum(axis=1)
    by_chance = (truth * named).sum(axis=1)
    spread = (total**2 - (truth**2).sum(axis=1)) * (total**2 - (named**2).sum(axis=1))
    # 0 where one side names a single class, as scikit-learn has it; undefined where both do.
    one_sided = (spread == 0) & (by_chance < total**2)
    mcc = (right * total - by_chance) / np.sqrt(spread)
    return {
        "balanced_accuracy": (hit / truth)[:, present].mean(axis=1),
        "macro_f1": np.where(truth > 0, 2 * hit / (truth + named), np.nan)[:, present].mean(axis=1),
        "mcc": np.where(one_sided, 0.0, mcc),
        "kappa": (right * total - by_chance) / (total**2 - by_chance),
    }


def _aurocs(answers: Answers, weights: Floats) -> Floats:
    """Return (draws, classes) areas under the curve, as weighted shares of pairs in order."""
    areas: list[Floats] = [
        _auroc(answers.labels == k, answers.log_odds[:, k], weights) for k in range(answers.classes)
    ]
    return np.stack(areas, axis=1)


def _auroc(is_it: NDArray[np.bool_], scores: Floats, weights: Floats) -> Floats:
    order = np.argsort(scores, kind="stable")
    ranked, is_it, weights = scores[order], is_it[order], weights[:, order]
    others = np.where(is_it, 0.0, weights)
    below = np.concatenate([np.zeros((len(weights), 1)), np.cumsum(others, axis=1)], axis=1)
    first, last = (np.searchsorted(ranked, ranked[is_it], side) for side in ("left", "right"))
    own = weights[:, is_it]
    won = (own * (below[:, first] + below[:, last]) / 2).sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(won / (own.sum(axis=1) * below[:, -1]))


def _calibration_errors(answers: Answers, weights: Floats) -> Floats:
    n = len(answers.labels)
    excess = answers.confidences - answers.is_right
    in_bin = csr_array((excess, (np.arange(n), bin_of(answers))), shape=(n, BINS))
    return np.asarray(np.abs(weights @ in_bin).sum(axis=1))
