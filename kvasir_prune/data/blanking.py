"""Rectangles made black in every image, so that what lies there can tell no class."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Rectangle = Sequence[float]
"""Left, top, right and bottom, in fractions of the image's width and height."""


def make_black(pixels: NDArray[np.uint8], rectangles: Sequence[Rectangle]) -> NDArray[np.uint8]:
    """Return an image with the rectangles black; pixels that are cut through are black too.

    Args:
        pixels: (height, width, channels) uint8; not changed.
        rectangles: each 0 <= left < right <= 1 and 0 <= top < bottom <= 1.
    """
    if not rectangles:
        return pixels
    height, width = pixels.shape[:2]
    blanked = pixels.copy()
    for left, top, right, bottom in rectangles:
        down = slice(math.floor(top * height), math.ceil(bottom * height))
        across = slice(math.floor(left * width), math.ceil(right * width))
        blanked[down, across] = 0
    return blanked
