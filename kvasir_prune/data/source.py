"""A source of labelled images, whatever they are stored in."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from kvasir_prune.data.layout import ImageRecord


@dataclass(frozen=True)
class SourceImage:
    """One image as its source gives it.

    Attributes:
        path: of its record.
        pixels: (height, width, channels) uint8, or None for a file that cannot be decoded.
        sha256: of the file's bytes, or of the pixels where there is no file.
        conversions: what had to be converted to get RGB.
        fault: why there are no pixels.
    """

    path: str
    pixels: NDArray[np.uint8] | None
    sha256: str
    conversions: tuple[str, ...] = ()
    fault: str | None = None


class Source(Protocol):
    """Labelled images.

    Attributes:
        records: what is known without decoding, sorted by path.
        classes: class names in the order of their labels.
        fingerprint: changes when the stored images change; cheap, not a digest of all bytes.
        left_out: files found beside the images.
    """

    records: tuple[ImageRecord, ...]
    classes: tuple[str, ...]
    fingerprint: str
    left_out: tuple[str, ...]

    def images(self, paths: Collection[str]) -> Iterator[SourceImage]:
        """Yield the wanted images, in the order that is fastest to read."""
