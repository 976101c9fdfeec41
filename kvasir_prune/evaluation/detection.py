"""Disease or not: the abnormal groups as one, against all that is left."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sklearn.metrics import confusion_matrix

from kvasir_prune.evaluation.answers import Answers
from kvasir_prune.evaluation.class_groups import ClassGroups
from kvasir_prune.evaluation.comparison import Comparison

DISEASE, NO_DISEASE = "disease", "no disease"


@dataclass(frozen=True)
class Detection:
    """Whether the networks tell disease from its absence, whatever they call either.

    Attributes:
        groups: the names of the abnormal ones.
        comparison: of the classes `DISEASE` and `NO_DISEASE`; a confusion of two diseases, or of
            two landmarks, counts as right.
        before: (2, 2) images by what they show (rows) and what they are called (columns), disease
            first; `after` likewise.
    """

    groups: list[str]
    comparison: Comparison
    before: list[list[int]]
    after: list[list[int]]


def detection(
    before: Answers, after: Answers, groups: ClassGroups, compared: Callable[..., Comparison]
) -> Detection | None:
    """Merge the abnormal groups and compare; None where all classes are disease, or none is.

    Args:
        before: answers of the one network.
        after: answers of the other to the same images.
        groups: say which classes are disease.
        compared: compares the merged answers of both, given the names of the two classes.
    """
    abnormal = [groups.is_abnormal(label) for label in range(len(groups.group_of))]
    if all(abnormal) or not any(abnormal):
        return None
    merged = [answers.merged([int(not is_it) for is_it in abnormal]) for answers in (before, after)]
    tables = [
        confusion_matrix(answers.labels, answers.predicted, labels=range(2)).tolist()
        for answers in merged
    ]
    return Detection(list(groups.abnormal), compared(*merged, (DISEASE, NO_DISEASE)), *tables)
