"""What a network could learn instead of medicine: borders, corners, sizes.

Endoscopes and archives leave marks at the edge of the frame: text, a position inset, a mask. Where
the marks differ between classes, a network may learn them. A simple classifier that sees nothing
but the edge shows how far they go.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kvasir_prune.data.findings import RegionTells, SizeTells
from kvasir_prune.data.looks import CELLS, Floats
from kvasir_prune.environment import repeatable_sums

CORNER = 4
"""Side of a corner, and of the centre it is compared with, in cells."""
DRAWS = 1000
_LEAST_OF_A_SIZE = 5

_FIRST, _LAST, _MIDDLE = slice(0, CORNER), slice(-CORNER, None), slice(CORNER, -CORNER)
_EDGE = np.ones((CELLS, CELLS), np.bool_)
_EDGE[1:-1, 1:-1] = False


def _square(down: slice, across: slice) -> NDArray[np.bool_]:
    cells = np.zeros((CELLS, CELLS), np.bool_)
    cells[down, across] = True
    return cells


REGIONS = {
    "border": _EDGE,
    "upper left corner": _square(_FIRST, _FIRST),
    "upper right corner": _square(_FIRST, _LAST),
    "lower left corner": _square(_LAST, _FIRST),
    "lower right corner": _square(_LAST, _LAST),
    "inside": ~_EDGE,
    "centre": _square(_MIDDLE, _MIDDLE),
}
"""Cells by region; the border is compared with all that is inside it, a corner with the centre."""


def predictability(
    learnt: tuple[Floats, NDArray[np.int64]], judged: tuple[Floats, NDArray[np.int64]]
) -> dict[str, RegionTells]:
    """Return how well each part of the edge alone tells the class.

    A multinomial logistic regression on the colours of the region's cells, classes weighted alike.
    The lower ends are 0.5 % quantiles of a bootstrap over the judged images: 2.5 %, divided among
    the five regions (Bonferroni).

    Args:
        learnt: cells and labels that it is fitted to.
        judged: cells and labels of other images.
    """
    with repeatable_sums():
        accuracies = {name: _cells_tell(cells, learnt, judged) for name, cells in REGIONS.items()}
    found = {}
    for name in REGIONS:
        if name in ("inside", "centre"):
            continue
        own, reference = accuracies[name], accuracies["inside" if name == "border" else "centre"]
        found[name] = RegionTells(
            accuracy=float(own[0]),
            low=float(np.percentile(own[1:], 0.5)),
            reference=float(reference[0]),
            excess_low=float(np.percentile(own[1:] - reference[1:], 0.5)),
        )
    return found


def size_tells(
    learnt: tuple[NDArray[np.int64], NDArray[np.int64]],
    judged: tuple[NDArray[np.int64], NDArray[np.int64]],
    classes: Sequence[str],
) -> SizeTells | None:
    """Return which class the size of an image tells best from the rest, by a small decision tree.

    Args:
        learnt: heights and widths (n, 2) in pixels, and labels, that it is fitted to.
        judged: those of other images.
        classes: their names.

    Returns:
        None where no class can be told from others: one of the two has images of one class only.
    """
    from sklearn.tree import DecisionTreeClassifier

    found = []
    for k, name in enumerate(classes):
        model = DecisionTreeClassifier(
            min_samples_leaf=_LEAST_OF_A_SIZE, class_weight="balanced", random_state=0
        )
        own = [(sizes, labels == k) for sizes, labels in (learnt, judged)]
        if not all(0 < is_own.sum() < len(is_own) for _, is_own in own):
            continue
        accuracies = _accuracies(model, *own)
        low = float(np.percentile(accuracies[1:], 2.5 / len(classes)))
        found.append(SizeTells(label=name, accuracy=float(accuracies[0]), low=low))
    return max(found, key=lambda tells: tells.low, default=None)


def _cells_tell(
    cells: NDArray[np.bool_],
    learnt: tuple[Floats, NDArray[np.int64]],
    judged: tuple[Floats, NDArray[np.int64]],
) -> Floats:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(
        StandardScaler(), LogisticRegression(C=0.1, class_weight="balanced", max_iter=300)
    )
    seen, others = (
        (part[:, cells].reshape(len(part), -1), labels) for part, labels in (learnt, judged)
    )
    return _accuracies(model, seen, others)


def _accuracies(
    model: Any, learnt: tuple[NDArray[Any], Any], judged: tuple[NDArray[Any], Any]
) -> Floats:
    """Return the balanced accuracy on the judged images, then on every bootstrap draw of them."""
    labels = judged[1]
    right = model.fit(*learnt).predict(judged[0]) == labels
    count = len(labels)
    draws = np.random.default_rng(0).multinomial(count, np.full(count, 1 / count), DRAWS)
    weights = np.concatenate([np.ones((1, count)), draws])
    of_classes = [
        (weights @ (right & (labels == k))) / np.maximum(1, weights @ (labels == k))
        for k in np.unique(labels)
    ]
    return np.asarray(np.mean(of_classes, axis=0))
