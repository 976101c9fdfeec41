"""How well one network does: scikit-learn's metrics, and proportions with Wilson intervals."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kvasir_prune.evaluation.answers import Answers
from kvasir_prune.evaluation.calibration import calibration_error
from kvasir_prune.evaluation.intervals import Estimate, wilson, wilson_f1

OVERALL = (
    "accuracy",
    "balanced_accuracy",
    "macro_f1",
    "mcc",
    "kappa",
    "auroc",
    "log_loss",
    "brier",
    "ece",
)
BY_CLASS = ("sensitivity", "specificity", "ppv", "npv", "f1", "auroc")


def overall(answers: Answers) -> dict[str, Estimate]:
    """Return the metrics named in `OVERALL`, empty where one cannot be computed.

    Means over classes (balanced accuracy, macro F1, AUROC) are over those that have images.
    `mcc` is Matthews' correlation (Gorodkin 2004), `kappa` Cohen's; both are empty where all images
    are of one class and called so. `auroc` is the mean of one class against the rest. `log_loss` is
    in nats, `brier` summed over classes (0 to 2), `ece` the expected calibration error.
    The accuracy carries its Wilson interval, the others none.
    """
    if len(answers.labels) == 0:
        return dict.fromkeys(OVERALL, Estimate())
    known = {
        **_from_classes(answers),
        "auroc": _mean([roc for roc in _aurocs(answers) if roc is not None]),
        "log_loss": float(answers.losses.mean()),
        "brier": float(answers.brier_scores.mean()),
        "ece": calibration_error(answers),
    }
    right = wilson(int(answers.is_right.sum()), len(answers.labels))
    return {"accuracy": right, **{name: Estimate(value) for name, value in known.items()}}


def by_class(answers: Answers) -> list[dict[str, Estimate]]:
    """Return the metrics named in `BY_CLASS` for every class against the rest.

    Proportions and F1 carry Wilson intervals, AUROC none; an `Estimate` is empty where there is
    nothing to take a share of.
    """
    return [
        {**_proportions(answers, k), "auroc": Estimate(roc)}
        for k, roc in enumerate(_aurocs(answers))
    ]


def _from_classes(answers: Answers) -> dict[str, float | None]:
    from sklearn.metrics import cohen_kappa_score, f1_score, matthews_corrcoef, recall_score

    truth, named = answers.labels, answers.predicted
    present = np.unique(truth)
    mean = {"labels": present, "average": "macro", "zero_division": 0.0}
    varied = len(np.union1d(truth, named)) > 1
    return {
        "balanced_accuracy": float(recall_score(truth, named, **mean)),
        "macro_f1": float(f1_score(truth, named, **mean)),
        "mcc": float(matthews_corrcoef(truth, named)) if varied else None,
        "kappa": float(cohen_kappa_score(truth, named)) if varied else None,
    }


def _aurocs(answers: Answers) -> list[float | None]:
    from sklearn.metrics import roc_auc_score

    def one(truth: NDArray[np.bool_], k: int) -> float | None:
        if truth.all() or not truth.any():
            return None
        return float(roc_auc_score(truth, answers.log_odds[:, k]))

    return [one(answers.labels == k, k) for k in range(answers.classes)]


def _proportions(answers: Answers, k: int) -> dict[str, Estimate]:
    is_it, called_it = answers.labels == k, answers.predicted == k
    hit, miss = int((is_it & called_it).sum()), int((is_it & ~called_it).sum())
    alarm, clear = int((~is_it & called_it).sum()), int((~is_it & ~called_it).sum())
    return {
        "sensitivity": wilson(hit, hit + miss),
        "specificity": wilson(clear, clear + alarm),
        "ppv": wilson(hit, hit + alarm),
        "npv": wilson(clear, clear + miss),
        "f1": wilson_f1(hit, alarm, miss),
    }


def _mean(values: list[float]) -> float | None:
    return float(np.mean(values)) if values else None
