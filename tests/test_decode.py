"""Decoding: right colours, upright, whole; resizing against a mean worked out another way."""

import io
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageOps

from kvasir_prune.data.decode import BadImage, decode, resize

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)
ORIENTATION_TAG = 0x0112


def blocks(height: int = 4, width: int = 6, side: int = 8) -> NDArray[np.uint8]:
    """Return coloured blocks, all different, of the size that JPEG treats as one."""
    colours = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    return colours.repeat(side, 0).repeat(side, 1)


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def jpeg(image: Image.Image, **options: Any) -> bytes:
    return encoded(image, "JPEG", quality=100, subsampling=0, **options)


def assert_close(pixels: NDArray[np.uint8], expected: NDArray[Any], tolerance: int) -> None:
    assert pixels.dtype == np.uint8
    assert pixels.shape == expected.shape
    assert np.abs(pixels.astype(int) - expected.astype(int)).max() <= tolerance


# Colours


@pytest.mark.parametrize("colour", [RED, GREEN, BLUE, (200, 100, 50)])
@pytest.mark.parametrize(("kind", "tolerance"), [("PNG", 0), ("BMP", 0), ("TIFF", 0), ("JPEG", 3)])
def test_the_channels_are_red_green_blue(
    colour: tuple[int, int, int], kind: str, tolerance: int
) -> None:
    decoded = decode(encoded(Image.new("RGB", (24, 16), colour), kind))
    assert_close(decoded.pixels, np.full((16, 24, 3), colour), tolerance)
    assert (decoded.width, decoded.height) == (24, 16)
    assert decoded.conversions == ()


def test_every_pixel_is_in_its_place() -> None:
    assert_close(decode(encoded(Image.fromarray(blocks()), "PNG")).pixels, blocks(), 0)
    lossless = encoded(Image.fromarray(blocks()), "WEBP", lossless=True)
    assert_close(decode(lossless).pixels, blocks(), 0)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_orientation_of_the_camera_is_applied(kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[ORIENTATION_TAG] = orientation
    options = {"JPEG": {"quality": 100, "subsampling": 0}, "WEBP": {"lossless": True}}
    content = encoded(Image.fromarray(blocks()), kind, exif=exif, **options.get(kind, {}))
    decoded = decode(content)
    with Image.open(io.BytesIO(content)) as stored:
        upright = np.asarray(ImageOps.exif_transpose(stored).convert("RGB"))
    assert_close(decoded.pixels, upright, 3)
    assert (decoded.height, decoded.width) == upright.shape[:2]
    applied = () if orientation == 1 else (f"EXIF orientation {orientation} applied",)
    assert decoded.conversions == applied


def test_orientation_6_is_a_quarter_turn_to_the_right() -> None:
    exif = Image.Exif()
    exif[ORIENTATION_TAG] = 6
    decoded = decode(jpeg(Image.fromarray(blocks()), exif=exif))
    assert_close(decoded.pixels, np.rot90(blocks(), -1), 3)


@pytest.mark.parametrize("orientation", [0, 9, 77])
def test_an_orientation_that_means_nothing_is_neither_applied_nor_recorded(
    orientation: int,
) -> None:
    exif = Image.Exif()
    exif[ORIENTATION_TAG] = orientation
    decoded = decode(jpeg(Image.fromarray(blocks()), exif=exif))
    assert_close(decoded.pixels, blocks(), 3)
    assert decoded.conversions == ()


# Conversions


GREY = np.random.default_rng(1).integers(0, 256, (12, 20), np.uint8)
AS_RGB = GREY[:, :, np.newaxis].repeat(3, 2)
DEEP = np.random.default_rng(2).integers(0, 2**16, (12, 20), np.uint16)
DEEP_RGB = np.random.default_rng(3).integers(0, 2**16, (12, 20, 3), np.uint16)
COLOURED = Image.fromarray(blocks())
SEE_THROUGH = Image.fromarray(GREY)
FEW_COLOURS = COLOURED.quantize(16)


def deep_png(pixels: NDArray[np.uint16]) -> bytes:
    is_whole, content = cv2.imencode(".png", pixels[..., ::-1] if pixels.ndim == 3 else pixels)
    assert is_whole
    return content.tobytes()


def with_alpha() -> Image.Image:
    image = COLOURED.copy()
    image.putalpha(Image.new("L", image.size, 40))
    return image


@pytest.mark.parametrize(
    ("content", "expected", "tolerance", "conversions"),
    [
        pytest.param(encoded(Image.fromarray(GREY), "PNG"), AS_RGB, 0, {"grey to RGB"}, id="grey"),
        pytest.param(jpeg(Image.fromarray(GREY)), AS_RGB, 2, {"grey to RGB"}, id="grey JPEG"),
        pytest.param(
            encoded(Image.fromarray(GREY > 127), "PNG"),
            (AS_RGB > 127) * 255,
            0,
            {"grey to RGB"},
            id="bilevel",
        ),
        pytest.param(
            encoded(Image.merge("LA", [Image.fromarray(GREY), SEE_THROUGH]), "PNG"),
            AS_RGB,
            0,
            {"grey to RGB", "alpha dropped"},
            id="grey and alpha",
        ),
        pytest.param(encoded(with_alpha(), "PNG"), blocks(), 0, {"alpha dropped"}, id="RGBA"),
        pytest.param(
            encoded(FEW_COLOURS, "PNG"),
            np.asarray(FEW_COLOURS.convert("RGB")),
            0,
            {"palette to RGB"},
            id="palette",
        ),
        pytest.param(
            encoded(FEW_COLOURS, "PNG", transparency=0),
            np.asarray(FEW_COLOURS.convert("RGB")),
            0,
            {"palette to RGB", "alpha dropped"},
            id="palette with a transparent colour",
        ),
        pytest.param(jpeg(COLOURED.convert("CMYK")), blocks(), 6, {"CMYK to RGB"}, id="CMYK JPEG"),
        pytest.param(
            deep_png(DEEP),
            (DEEP >> 8)[:, :, np.newaxis].repeat(3, 2),
            1,
            {"grey to RGB", "16 to 8 bits"},
            id="16-bit grey",
        ),
        pytest.param(deep_png(DEEP_RGB), DEEP_RGB >> 8, 1, {"16 to 8 bits"}, id="16-bit RGB"),
    ],
)
def test_other_kinds_of_pixels_become_rgb_and_are_recorded(
    content: bytes, expected: NDArray[Any], tolerance: int, conversions: set[str]
) -> None:
    decoded = decode(content)
    assert_close(decoded.pixels, expected, tolerance)
    assert set(decoded.conversions) == conversions


# Damage


def photograph() -> Image.Image:
    noise = np.random.default_rng(4).integers(0, 256, (12, 16, 3), np.uint8)
    return Image.fromarray(noise).resize((160, 120), Image.Resampling.BICUBIC)


WHOLE = {
    "JPEG": encoded(photograph(), "JPEG"),
    "progressive JPEG": encoded(photograph(), "JPEG", progressive=True),
    "PNG": encoded(photograph(), "PNG"),
    "BMP": encoded(photograph(), "BMP"),
    "TIFF": encoded(photograph(), "TIFF", compression="tiff_lzw"),
    "WEBP": encoded(photograph(), "WEBP"),
}


@pytest.mark.parametrize("kind", WHOLE)
@pytest.mark.parametrize("part", [0.01, 0.5, 0.95])
def test_a_truncated_file_is_bad(kind: str, part: float) -> None:
    content = WHOLE[kind]
    assert decode(content).pixels.shape == (120, 160, 3)
    with pytest.raises(BadImage, match=r"\w+"):
        decode(content[: int(len(content) * part)])


@given(st.sampled_from(["JPEG", "progressive JPEG", "PNG"]), st.floats(0.0, 0.99))
@settings(max_examples=60, deadline=None)
def test_a_file_truncated_anywhere_is_bad_and_nothing_else(kind: str, part: float) -> None:
    content = WHOLE[kind]
    with pytest.raises(BadImage):
        decode(content[: int(len(content) * part)])


@given(st.sampled_from(sorted(WHOLE)), st.data())
@settings(max_examples=60, deadline=None)
def test_garbled_bytes_are_bad_or_still_an_image(kind: str, data: st.DataObject) -> None:
    content = bytearray(WHOLE[kind])
    for place in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=5)):
        content[place] ^= 0xFF
    try:
        decoded = decode(bytes(content))
    except BadImage:
        return
    assert decoded.pixels.dtype == np.uint8
    assert decoded.pixels.ndim == 3
    assert decoded.pixels.shape[2] == 3


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"this is a text under the name of an image\n", "no image"),
        (b"\xff\xd8\xff\xe0", "no image"),
        (b"\x89PNG\r\n\x1a\n", "no image|cannot be decoded"),
        (bytes(5000), "no image"),
        (b"<html><body>404 Not Found</body></html>", "no image"),
    ],
)
def test_what_is_no_image_is_bad(content: bytes, reason: str) -> None:
    with pytest.raises(BadImage, match=reason):
        decode(content)


# Resizing


def area_weights(old: int, new: int) -> NDArray[np.float64]:
    """Return (new, old) shares: how much of each old pixel lies in each new one."""
    edges = np.arange(new + 1) * old / new
    starts, ends = edges[:-1, np.newaxis], edges[1:, np.newaxis]
    cells = np.arange(old)[np.newaxis]
    overlap = np.clip(np.minimum(ends, cells + 1) - np.maximum(starts, cells), 0, None)
    return overlap / overlap.sum(axis=1, keepdims=True)


@given(
    st.integers(1, 8), st.integers(1, 5), st.integers(1, 5), st.sampled_from([1, 3]), st.integers(0)
)
@settings(max_examples=60, deadline=None)
def test_shrinking_by_whole_factors_is_the_mean_of_blocks(
    side: int, tall: int, wide: int, channels: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (side * tall, side * wide, channels), np.uint8)
    means = image.reshape(side, tall, side, wide, channels).mean(axis=(1, 3))
    small = resize(image, side)
    assert small.dtype == np.uint8
    assert small.shape == (side, side, channels)
    assert np.abs(small - means).max() <= 0.5 + 1e-6


@given(st.integers(1, 12), st.integers(0, 20), st.integers(0, 20), st.integers(0))
@settings(max_examples=60, deadline=None)
def test_shrinking_by_any_factor_is_the_mean_of_the_area(
    side: int, taller: int, wider: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (side + taller, side + wider, 3), np.uint8)
    rows, columns = area_weights(side + taller, side), area_weights(side + wider, side)
    means = np.einsum("ih,hwc,jw->ijc", rows, image.astype(float), columns)
    assert np.abs(resize(image, side) - means).max() <= 0.5 + 1e-3


def test_enlarging_keeps_corners_and_interpolates() -> None:
    image = np.array([[[0], [100]], [[100], [200]]], np.uint8)
    large = resize(image, 8)[..., 0].astype(int)
    assert (large[0, 0], large[0, -1], large[-1, -1]) == (0, 100, 200)
    assert (np.diff(large, axis=0) >= 0).all()
    assert (np.diff(large, axis=1) >= 0).all()
    assert len(np.unique(large)) > 4


def test_an_image_of_the_wished_size_is_left_alone() -> None:
    image = blocks(2, 2)
    assert np.array_equal(resize(image, 16), image)
