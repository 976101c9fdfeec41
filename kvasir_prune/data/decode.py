"""From the bytes of an image file to RGB pixels, or to the reason why it has none."""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, UnidentifiedImageError

_ORIENTATION_TAG = 0x0112


class BadImage(Exception):  # noqa: N818  (caught inside the data room, then listed with the others)
    """The bytes are not a whole image; the text says why in a few words."""


@dataclass(frozen=True)
class Decoded:
    """An image.

    Attributes:
        pixels: (height, width, 3) uint8, RGB, upright.
        width, height: of the file, before resizing, after EXIF rotation.
        conversions: what had to be converted, for the record; empty for a plain 8-bit RGB file.
    """

    pixels: NDArray[np.uint8]
    width: int
    height: int
    conversions: tuple[str, ...]


def decode(content: bytes) -> Decoded:
    """Decode an image file with OpenCV, after Pillow has shown that it is whole.

    Some versions of OpenCV fill the missing rest of a truncated file with grey and say nothing;
    Pillow refuses it. Pillow also knows what the file holds before OpenCV converts it.

    Raises:
        BadImage: empty, truncated, or no image.
    """
    if not content:
        raise BadImage("the file is empty")
    conversions = _examine(content)
    try:
        pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error as error:
        raise BadImage(f"OpenCV cannot decode it ({error.err})") from None
    if pixels is None:
        raise BadImage("OpenCV cannot decode it")
    rgb: NDArray[Any] = cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)
    height, width = rgb.shape[:2]
    return Decoded(rgb.astype(np.uint8, copy=False), width, height, conversions)


def resize(pixels: NDArray[np.uint8], side_px: int) -> NDArray[np.uint8]:
    """Resize to a square; INTER_AREA when both sides shrink, else INTER_LINEAR.

    Args:
        pixels: (height, width, channels) uint8.
        side_px: side of the result; the aspect ratio is not kept, as in the thesis.
    """
    height, width, channels = pixels.shape
    if (height, width) == (side_px, side_px):
        return pixels
    shrinking = height >= side_px and width >= side_px
    method = cv2.INTER_AREA if shrinking else cv2.INTER_LINEAR
    resized = cv2.resize(pixels, (side_px, side_px), interpolation=method)
    square: NDArray[np.uint8] = resized.reshape(side_px, side_px, channels).astype(np.uint8)
    return square


def _examine(content: bytes) -> tuple[str, ...]:
    try:
        with warnings.catch_warnings(action="ignore"), Image.open(io.BytesIO(content)) as image:
            conversions = _conversions(image)
            image.load()
    except UnidentifiedImageError:
        raise BadImage("it is no image") from None
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        raise BadImage(f"it cannot be decoded whole ({error})") from None
    return conversions


def _conversions(image: ImageFile.ImageFile) -> tuple[str, ...]:
    """Name what OpenCV will convert; must be called before Pillow has read the pixels."""
    mode = image.mode
    # Pillow calls a 48-bit file plain "RGB"; only the raw mode of its decoder tells. `getexif`
    # may read the pixels, and nothing is left to ask then.
    is_deep = mode in ("I", "F") or any(";16" in str(tile[3]) for tile in image.tile)
    orientation = image.getexif().get(_ORIENTATION_TAG, 1)
    found = []
    if mode in ("1", "L", "LA", "I", "F") or mode.startswith("I;16"):
        found.append("grey to RGB")
    if mode in ("P", "PA"):
        found.append("palette to RGB")
    if image.has_transparency_data:
        found.append("alpha dropped")
    if mode in ("CMYK", "YCCK"):
        found.append("CMYK to RGB")
    if is_deep:
        found.append("16 to 8 bits")
    if orientation in range(2, 9):
        found.append(f"EXIF orientation {orientation} applied")
    return tuple(found)
