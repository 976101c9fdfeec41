"""Regions that are black in the images of some classes and not of others: masks, insets, frames."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2_contingency

from kvasir_prune.data.findings import BlankRegion
from kvasir_prune.data.looks import FINE_CELLS, Floats

THINNEST = 3
"""Side in cells of the smallest square region; thinner strips, and links, are passed over."""
CERTAIN = 1e-3
"""p of the chi-squared test above which a blank region counts as chance; many cells are tried."""


def blank_regions(
    black: NDArray[np.bool_], labels: NDArray[np.int64], classes: Sequence[str], differing: float
) -> list[BlankRegion]:
    """Return where images of some classes are black more often than images of others.

    Cells belong together if they touch and are black in the same classes, those whose share lies
    above the middle between the largest and the smallest.

    Args:
        black: (n, 48, 48) which parts of each image are black.
        labels: (n,) classes; every class has an image.
        classes: their names.
        differing: least difference of two classes' shares of images in which a cell is black.

    Returns:
        The regions in which the classes differ by more than chance explains, the largest first.
    """
    shares = np.stack([black[labels == k].mean(axis=0) for k in range(len(classes))])
    low, high = shares.min(axis=0), shares.max(axis=0)
    above = np.packbits(shares > (low + high) / 2, axis=0)
    suspicious = high - low >= differing
    found = []
    for kind in np.unique(above[:, suspicious], axis=1).T:
        alike = suspicious & (above == kind[:, None, None]).all(axis=0)
        for cells in _connected(alike):
            best = np.unravel_index(np.argmax(np.where(cells, high - low, -1)), cells.shape)
            if _differs(black[:, best[0], best[1]], labels, len(classes)):
                found.append(_region(cells, dict(zip(classes, shares, strict=True))))
    return sorted(found, key=lambda region: -region.area)


def _connected(cells: NDArray[np.bool_]) -> Iterator[NDArray[np.bool_]]:
    """Yield the connected sets of cells, strips and links of less than three cells cut off."""
    square = np.ones((THINNEST, THINNEST), np.uint8)
    thick = cv2.morphologyEx(cells.astype(np.uint8), cv2.MORPH_OPEN, square)
    count, component = cv2.connectedComponents(thick, connectivity=4)
    for number in range(1, count):
        yield component == number


def _region(cells: NDArray[np.bool_], shares: Mapping[str, Floats]) -> BlankRegion:
    rows, columns = np.flatnonzero(cells.any(axis=1)), np.flatnonzero(cells.any(axis=0))
    left, right = int(columns[0]), int(columns[-1]) + 1
    top, bottom = int(rows[0]), int(rows[-1]) + 1
    return BlankRegion(
        left=left / FINE_CELLS,
        top=top / FINE_CELLS,
        right=right / FINE_CELLS,
        bottom=bottom / FINE_CELLS,
        fills=float(cells[top:bottom, left:right].mean()),
        share={name: float(of_class[cells].mean()) for name, of_class in shares.items()},
    )


def _differs(is_black: NDArray[np.bool_], labels: NDArray[np.int64], classes: int) -> bool:
    """Return whether the classes' shares differ by more than chance explains."""
    counts = [np.bincount(is_black[labels == k], minlength=2) for k in range(classes)]
    table = np.stack(counts, axis=1)
    return bool(table.sum(axis=1).all() and chi2_contingency(table).pvalue <= CERTAIN)
