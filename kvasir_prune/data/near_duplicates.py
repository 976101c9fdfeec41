"""Images that show almost the same: neighbouring frames of one video, copies saved anew.

Two images are near-duplicates if both of two independent looks agree: their perceptual hashes (256
bits of the low frequencies, `imagehash.phash`; Zauner 2010) differ in at most `HASH_BITS` places,
and their grey thumbnails correlate above `CORRELATION`. Either alone pairs views of different
patients in colonoscopy frames, where every image is a dark hole in a red tube.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from kvasir_prune.data.linkage import linked
from kvasir_prune.environment import repeatable_sums
from kvasir_prune.errors import DataError
from kvasir_prune.progress import Progress

HASH_BITS = 45
CORRELATION = 0.95
SMALLEST_SIDE_PX = 48
"""Below it images have too few details to tell a duplicate from a look-alike."""
MOST_IMAGES = 20_000
"""Above it comparing all pairs takes too long."""

GROUP = "look-alike"
"""How the names of groups begin that were found by looking."""

_HASH_SIDE, _THUMBNAIL_PX, _BLOCK = 16, 16, 1000
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Pair:
    """Two near-duplicates: their places, first < second, and how alike they are (-1 to 1)."""

    first: int
    second: int
    correlation: float


def near_duplicates(
    images: NDArray[np.uint8], rows: Sequence[int], progress: Progress
) -> list[Pair]:
    """Return all pairs of near-duplicates among some images, in order.

    Args:
        images: (n, height, width, 1 or 3) uint8, may be a memory map.
        rows: which of them; places in the result count these.
        progress: told about every image.
    """
    signs = np.empty((len(rows), _HASH_SIDE**2), np.float32)
    thumbnails = np.empty((len(rows), _THUMBNAIL_PX**2), np.float32)
    with progress.task("Looking for near-duplicates", len(rows)) as task:
        for place, row in enumerate(rows):
            signs[place], thumbnails[place] = _looks(images[row])
            task.advance()
    with repeatable_sums():
        return list(_pairs(signs, thumbnails))


def unfit(images: NDArray[np.uint8], count: int) -> str | None:
    """Return why near-duplicates cannot be looked for, in a sentence; None if they can.

    Args:
        images: (n, height, width, 1 or 3) uint8, may be a memory map.
        count: how many of them are to be compared.
    """
    side = min(images.shape[1:3])
    if side < SMALLEST_SIDE_PX:
        return (
            f"Images of {side} pixels are too small to tell a duplicate from a look-alike; "
            f"{SMALLEST_SIDE_PX} are needed."
        )
    if count > MOST_IMAGES:
        return f"Comparing all pairs of {count:,} images takes too long; {MOST_IMAGES:,} can be."
    return None


def refuse_unfit(images: NDArray[np.uint8], count: int) -> None:
    """Raise `DataError` where near-duplicates cannot be looked for, but are to be groups."""
    why = unfit(images, count)
    if why:
        raise DataError(
            why,
            where="data.group_by",
            got="near_duplicates",
            fix="use a larger model.input_side_px, fewer images, or a manifest of groups",
        )


def clusters(count: int, pairs: Sequence[Pair]) -> NDArray[np.int64]:
    """Return (count,) the cluster of each image, numbered from 0: pairs, and pairs of pairs."""
    return linked(count, [(pair.first, pair.second) for pair in pairs])


def _looks(image: NDArray[np.uint8]) -> tuple[Floats, Floats]:
    """Return the hash as signs and the thumbnail as a vector of length 1 and mean 0."""
    import imagehash
    from PIL import Image

    grey = image[..., 0] if image.shape[-1] == 1 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    bits = imagehash.phash(Image.fromarray(grey), hash_size=_HASH_SIDE).hash.ravel()
    small = cv2.resize(grey, (_THUMBNAIL_PX, _THUMBNAIL_PX), interpolation=cv2.INTER_AREA)
    centred = small.astype(np.float32).ravel() - small.mean()
    length = float(np.linalg.norm(centred))
    return np.where(bits, 1, -1).astype(np.float32), centred / length if length else centred


def _pairs(signs: Floats, thumbnails: Floats) -> Iterator[Pair]:
    agreement = _HASH_SIDE**2 - 2 * HASH_BITS
    for start in range(0, len(signs), _BLOCK):
        end = start + _BLOCK
        alike = signs[start:end] @ signs[start:].T >= agreement
        correlation = thumbnails[start:end] @ thumbnails[start:].T
        for i, j in np.argwhere(np.triu(alike & (correlation > CORRELATION), 1)):
            yield Pair(start + int(i), start + int(j), float(correlation[i, j]))
