"""Decoded, resized images in one memory-mapped array, built once and published whole.

    images.npy   (n, height, width, channels) uint8, RGB or grey
    images.csv   an `image_table`: what is known of each image
    SHA256SUMS   digests of both, as `sha256sum -c` reads them

The digests are published last: a folder without them, or with other bytes, holds nothing.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kvasir_prune.data.blanking import Rectangle, make_black
from kvasir_prune.data.decode import resize
from kvasir_prune.data.image_table import CachedImage, from_csv, to_csv
from kvasir_prune.data.layout import ImageRecord
from kvasir_prune.data.source import Source, SourceImage
from kvasir_prune.errors import DataError
from kvasir_prune.progress import Progress
from kvasir_prune.publish import publish_text, publishing, sha256_file, sweep_partials

IMAGES, TABLE, SUMS = "images.npy", "images.csv", "SHA256SUMS"


@dataclass(frozen=True)
class ImageCache:
    """The array, memory-mapped for reading, its table sorted by path, and its file's SHA-256."""

    images: NDArray[np.uint8]
    table: tuple[CachedImage, ...]
    digest: str


def build_cache(
    folder: Path,
    source: Source,
    records: Sequence[ImageRecord],
    *,
    side_px: int | None,
    blank: Sequence[Rectangle],
    skip_bad: bool,
    progress: Progress,
) -> None:
    """Decode, resize and keep the images of `records`.

    Args:
        folder: existing folder of the cache.
        source: where the images are.
        records: which of them, sorted by path.
        side_px: side of the square results; None keeps the images' own size.
        blank: rectangles that are made black in every image.
        skip_bad: leave out and record files that cannot be decoded, instead of failing.
        progress: told about every image.

    Raises:
        DataError: bad images (all listed) and not `skip_bad`, or sizes differ and no `side_px`.
    """
    sweep_partials(folder)
    row_of = {record.path: row for row, record in enumerate(records)}
    found: dict[str, CachedImage] = {}
    with publishing(folder / IMAGES) as target:
        array: NDArray[np.uint8] | None = None
        with progress.task("Reading images", len(records)) as task:
            for image in source.images(tuple(row_of)):
                row, pixels = row_of[image.path], _resized(image, side_px)
                if pixels is not None:
                    array = _open(target, len(records), pixels) if array is None else array
                    _check_size(array, pixels, image.path)
                    array[row] = make_black(pixels, blank)
                found[image.path] = _line(image, records[row], row)
                task.advance()
        table = [found[record.path] for record in records]
        if not skip_bad:
            refuse_bad(table)
        if array is None:
            raise DataError("No image could be read.", where=folder)
        array.flush()  # type: ignore[attr-defined]
        del array
    publish_text(folder / TABLE, to_csv(table))
    publish_text(folder / SUMS, _sums(folder))


def open_cache(folder: Path) -> ImageCache | None:
    """Open a cache for reading; None where there is no complete one, or a damaged one."""
    try:
        sums = (folder / SUMS).read_text(encoding="utf-8")
        if sums != _sums(folder):
            return None
        table = from_csv((folder / TABLE).read_text(encoding="utf-8"))
        images = np.load(folder / IMAGES, mmap_mode="r")
    except (FileNotFoundError, NotADirectoryError, UnicodeDecodeError):
        return None
    return ImageCache(images, table, sums.split()[0])


def is_damaged(folder: Path) -> bool:
    """Return whether a folder holds a cache that was complete and is no longer."""
    return (folder / SUMS).exists() and open_cache(folder) is None


def _sums(folder: Path) -> str:
    return "".join(f"{sha256_file(folder / name)}  {name}\n" for name in (IMAGES, TABLE))


def _resized(image: SourceImage, side_px: int | None) -> NDArray[np.uint8] | None:
    if image.pixels is None or side_px is None:
        return image.pixels
    return resize(image.pixels, side_px)


def _open(target: Path, count: int, first: NDArray[np.uint8]) -> NDArray[np.uint8]:
    shape = (count, *first.shape)
    array = np.lib.format.open_memmap(target, mode="w+", dtype=np.uint8, shape=shape)
    if hasattr(os, "posix_fallocate"):
        # Or a full disk would be told by a SIGBUS at some image.
        with target.open("r+b") as stream:
            os.posix_fallocate(stream.fileno(), 0, target.stat().st_size)
    return array


def _check_size(array: NDArray[np.uint8], pixels: NDArray[np.uint8], path: str) -> None:
    if array.shape[1:] != pixels.shape:
        raise DataError(
            "The images are not all of one size.",
            where=path,
            got=f"{pixels.shape[1]}x{pixels.shape[0]}",
            expected=f"{array.shape[2]}x{array.shape[1]}, as the first image",
            fix="set model.input_side_px, and all are resized to it",
        )


def _line(image: SourceImage, record: ImageRecord, row: int) -> CachedImage:
    place = None if image.pixels is None else row
    size = None if image.pixels is None else image.pixels.shape[:2]
    return CachedImage(place, record, image.sha256, image.conversions, image.fault, size)


def refuse_bad(table: Collection[CachedImage]) -> None:
    """Raise `DataError` with a list of all files that could not be decoded, if there are any."""
    bad = [line for line in table if line.fault]
    if bad:
        listing = "\n".join(f"  - {line.record.path}: {line.fault}" for line in bad)
        count = "1 file is" if len(bad) == 1 else f"{len(bad)} files are"
        raise DataError(
            f"{count} no whole image:\n{listing}",
            where="data.root",
            fix="repair or delete them, or set data.on_bad_image: skip to leave them out",
        )
