"""What a network could learn instead of medicine: borders, corners and blanked regions.

Endoscopes and archives leave marks at the edge of the frame: text, a position inset, a mask. Where
the marks differ between classes, a network may learn them. A simple classifier that sees nothing
but the edge shows how far they go.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from kvasir_prune.data.findings import BlankRegion
from kvasir_prune.progress import Progress

CELLS = 12
"""Every image is seen as 12 x 12 cells of mean colour."""
CORNER = 4
"""Side of a corner, and of the centre it is compared with, in cells."""
DARK = 24
"""A cell is blank if its brightest channel is below this (0 to 255)."""

Floats = NDArray[np.float64]
_FIRST, _LAST, _MIDDLE = slice(0, CORNER), slice(-CORNER, None), slice(CORNER, -CORNER)
REGIONS = {
    "upper left corner": (_FIRST, _FIRST),
    "upper right corner": (_FIRST, _LAST),
    "lower left corner": (_LAST, _FIRST),
    "lower right corner": (_LAST, _LAST),
    "centre": (_MIDDLE, _MIDDLE),
}


def cells_of(images: NDArray[np.uint8], rows: Sequence[int], progress: Progress) -> Floats:
    """Return (len(rows), 12, 12, channels) mean colours, 0 to 255.

    Args:
        images: (n, height, width, 1 or 3) uint8, may be a memory map.
        rows: which of them.
        progress: told about every image.
    """
    found = np.empty((len(rows), CELLS, CELLS, images.shape[-1]), np.float64)
    with progress.task("Looking at borders", len(rows)) as task:
        for place, row in enumerate(rows):
            small = cv2.resize(images[row], (CELLS, CELLS), interpolation=cv2.INTER_AREA)
            found[place] = small.reshape(CELLS, CELLS, -1)
            task.advance()
    return found


def predictability(
    learnt: tuple[Floats, NDArray[np.int64]], judged: tuple[Floats, NDArray[np.int64]]
) -> dict[str, float]:
    """Return how well each region alone tells the class: balanced accuracies, 0 to 1.

    A multinomial logistic regression on the colours of the region's cells, classes weighted alike.

    Args:
        learnt: cells and labels that it is fitted to.
        judged: cells and labels of other images.

    Returns:
        Accuracies by region: those of `REGIONS`, and `border`, the outermost cells.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import recall_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    border = np.ones((CELLS, CELLS), np.bool_)
    border[1:-1, 1:-1] = False

    def accuracy(learn: Floats, judge: Floats) -> float:
        model = make_pipeline(
            StandardScaler(), LogisticRegression(C=0.1, class_weight="balanced", max_iter=300)
        ).fit(learn.reshape(len(learn), -1), learnt[1])
        named = model.predict(judge.reshape(len(judge), -1))
        present = np.unique(judged[1])
        return float(recall_score(judged[1], named, labels=present, average="macro"))

    found = {"border": accuracy(learnt[0][:, border], judged[0][:, border])}
    for name, (down, across) in REGIONS.items():
        found[name] = accuracy(learnt[0][:, down, across], judged[0][:, down, across])
    return found


def blank_region(
    cells: Floats, labels: NDArray[np.int64], classes: Sequence[str], differing: float
) -> BlankRegion | None:
    """Return the rectangle around the cells that are black more often in one class than another.

    Args:
        cells: (n, 12, 12, channels) mean colours.
        labels: (n,) classes; every class has an image.
        classes: their names.
        differing: least difference of two classes' shares of images in which a cell is black.

    Returns:
        The rectangle around the largest connected set of such cells; None if there is none.
    """
    black = cells.max(axis=-1) < DARK
    shares = np.stack([black[labels == k].mean(axis=0) for k in range(len(classes))])
    suspicious = (shares.max(axis=0) - shares.min(axis=0) >= differing).astype(np.uint8)
    count, _, boxes, _ = cv2.connectedComponentsWithStats(suspicious, connectivity=4)
    if count == 1:
        return None
    left, top, width, height, _ = boxes[1 + int(boxes[1:, cv2.CC_STAT_AREA].argmax())]
    inside = black[:, top : top + height, left : left + width].mean(axis=(1, 2)) > 0.5
    return BlankRegion(
        left=float(left / CELLS),
        top=float(top / CELLS),
        right=float((left + width) / CELLS),
        bottom=float((top + height) / CELLS),
        share={name: float(inside[labels == k].mean()) for k, name in enumerate(classes)},
    )
