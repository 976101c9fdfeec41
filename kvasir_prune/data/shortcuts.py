"""What a network could learn instead of medicine: borders, corners and blanked regions.

Endoscopes and archives leave marks at the edge of the frame: text, a position inset, a mask. Where
the marks differ between classes, a network may learn them. A simple classifier that sees nothing
but the edge shows how far they go.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2_contingency

from kvasir_prune.data.findings import BlankRegion, RegionTells, SizeTells
from kvasir_prune.progress import Progress

CELLS = 12
"""Every image is seen as 12 x 12 cells of mean colour."""
CORNER = 4
"""Side of a corner, and of the centre it is compared with, in cells."""
FINE_CELLS = 48
"""For regions that are black, every image is seen as 48 x 48 cells."""
DARK = 24
"""A cell is black if its brightest channel is below this (0 to 255)."""
THINNEST = 3
"""Side in fine cells of the smallest square region; thinner strips, and links, are passed over."""

CERTAIN = 1e-3
"""p of the chi-squared test above which a blank region counts as chance; many cells are tried."""
DRAWS = 1000
_LEAST_OF_A_SIZE = 5

Floats = NDArray[np.float64]
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


@dataclass(frozen=True)
class Looks:
    """Images, seen coarsely.

    Attributes:
        cells: (n, 12, 12, channels) mean colours, 0 to 255.
        black: (n, 48, 48) which parts are black.
    """

    cells: Floats
    black: NDArray[np.bool_]


def looks_of(images: NDArray[np.uint8], rows: Sequence[int], progress: Progress) -> Looks:
    """Look at images coarsely.

    Args:
        images: (n, height, width, 1 or 3) uint8, may be a memory map.
        rows: which of them.
        progress: told about every image.
    """
    cells = np.empty((len(rows), CELLS, CELLS, images.shape[-1]), np.float64)
    black = np.empty((len(rows), FINE_CELLS, FINE_CELLS), np.bool_)
    with progress.task("Looking at borders", len(rows)) as task:
        for place, row in enumerate(rows):
            cells[place] = _shrunk(images[row], CELLS)
            black[place] = _shrunk(images[row], FINE_CELLS).max(axis=-1) < DARK
            task.advance()
    return Looks(cells, black)


def _shrunk(image: NDArray[np.uint8], side: int) -> NDArray[Any]:
    small: NDArray[Any] = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)
    return small.reshape(side, side, -1)


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
) -> SizeTells:
    """Return how well the size of the file alone tells the class, by a small decision tree.

    Args:
        learnt: heights and widths (n, 2), and labels, that it is fitted to.
        judged: those of other images.
    """
    from sklearn.tree import DecisionTreeClassifier

    model = DecisionTreeClassifier(
        min_samples_leaf=_LEAST_OF_A_SIZE, class_weight="balanced", random_state=0
    )
    accuracies = _accuracies(model, learnt, judged)
    return SizeTells(accuracy=float(accuracies[0]), low=float(np.percentile(accuracies[1:], 2.5)))


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


def blank_regions(
    black: NDArray[np.bool_], labels: NDArray[np.int64], classes: Sequence[str], differing: float
) -> list[BlankRegion]:
    """Return rectangles around cells that are black more often in one class than in another.

    Args:
        black: (n, 48, 48) which parts of each image are black.
        labels: (n,) classes; every class has an image.
        classes: their names.
        differing: least difference of two classes' shares of images in which a cell is black.

    Returns:
        One for each connected set of such cells in which the classes differ by more than chance
        explains, the largest set first.
    """
    shares = np.stack([black[labels == k].mean(axis=0) for k in range(len(classes))])
    suspicious = (shares.max(axis=0) - shares.min(axis=0) >= differing).astype(np.uint8)
    square = np.ones((THINNEST, THINNEST), np.uint8)
    thick = cv2.morphologyEx(suspicious, cv2.MORPH_OPEN, square)
    count, component, boxes, _ = cv2.connectedComponentsWithStats(thick, connectivity=4)
    found = []
    for number in sorted(range(1, count), key=lambda one: -int(boxes[one, cv2.CC_STAT_AREA])):
        left, top, width, height, _ = boxes[number]
        inside = black[:, component == number].mean(axis=1) > 0.5
        if _differs(inside, labels, len(classes)):
            share = {name: float(inside[labels == k].mean()) for k, name in enumerate(classes)}
            edges = (left, top, left + width, top + height)
            names = ("left", "top", "right", "bottom")
            place = {
                name: float(edge / FINE_CELLS) for name, edge in zip(names, edges, strict=True)
            }
            found.append(BlankRegion(**place, share=share))
    return found


def _differs(inside: NDArray[np.bool_], labels: NDArray[np.int64], classes: int) -> bool:
    """Return whether the classes' shares differ by more than chance explains."""
    counts = [np.bincount(inside[labels == k], minlength=2) for k in range(classes)]
    table = np.stack(counts, axis=1)
    return bool(table.sum(axis=1).all() and chi2_contingency(table).pvalue <= CERTAIN)
