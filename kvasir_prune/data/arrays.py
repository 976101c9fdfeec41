"""Sets that are arrays from the start: MNIST, Fashion-MNIST, CIFAR-10, scikit-learn's digits."""

from __future__ import annotations

import hashlib
import zipfile
import zlib
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kvasir_prune.data.layout import ImageRecord
from kvasir_prune.data.source import SourceImage
from kvasir_prune.errors import DataError
from kvasir_prune.types import TEST, TRAIN

DIGITS = tuple("0123456789")
CLOTHES = (
    "t-shirt",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle-boot",
)
CIFAR10 = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)
ARRAY_NAMES = ("x_train", "y_train", "x_test", "y_test")
# What `numpy.load` raises on damaged or other files; TypeError: a single array, RuntimeError: an
# archive of another kind.
NOT_AN_NPZ = (
    OSError,
    ValueError,
    EOFError,
    TypeError,
    RuntimeError,
    zipfile.BadZipFile,
    zlib.error,
)

Parts = dict[str | None, tuple[NDArray[Any], NDArray[Any]]]
"""Given split -> images (n, height, width[, channels]) and labels (n,)."""


class ArraySource:
    """Labelled images in memory.

    Args:
        parts: the images by given split.
        classes: class names in the order of their labels.
    """

    left_out: tuple[str, ...] = ()

    def __init__(self, parts: Parts, classes: tuple[str, ...]) -> None:
        self.classes = classes
        self._pixels: dict[str, NDArray[np.uint8]] = {}
        records = []
        running = hashlib.sha256()
        for given, (stored, labels) in parts.items():
            images = stored if stored.ndim == 4 else stored[..., np.newaxis]
            running.update(np.ascontiguousarray(images).tobytes())
            running.update(np.ascontiguousarray(labels).tobytes())
            for number, (image, label) in enumerate(zip(images, labels, strict=True)):
                path = f"{given or 'all'}/{number:05d}"
                self._pixels[path] = image
                records.append(ImageRecord(path, classes[int(label)], given))
        self.records = tuple(sorted(records, key=lambda record: record.path))
        self.fingerprint = running.hexdigest()

    def images(self, paths: Collection[str]) -> Iterator[SourceImage]:
        """Yield the wanted images."""
        for path in paths:
            pixels = self._pixels[path]
            yield SourceImage(path, pixels, hashlib.sha256(pixels.tobytes()).hexdigest())


def digits() -> ArraySource:
    """scikit-learn's 1,797 digits of 8x8 pixels, stretched from 0..16 to 0..255."""
    from sklearn.datasets import load_digits

    bundle = load_digits()
    images = np.rint(bundle.images * (255 / 16)).astype(np.uint8)
    return ArraySource({None: (images, bundle.target)}, DIGITS)


def from_npz(path: Path, classes: tuple[str, ...]) -> ArraySource:
    """Read an .npz with x_train, y_train, x_test, y_test, as Keras keeps its sets.

    Raises:
        DataError: no .npz, an array is missing, or the arrays are no uint8 images with labels.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            missing = [name for name in ARRAY_NAMES if name not in file]
            arrays = {name: file[name] for name in ARRAY_NAMES if name in file}
    except NOT_AN_NPZ as error:
        raise DataError("The file cannot be read as .npz.", where=path, got=error) from None
    if missing:
        raise DataError(
            "Arrays are missing from the .npz.",
            where=path,
            got=", ".join(sorted(arrays)),
            expected=", ".join(ARRAY_NAMES),
        )
    return from_arrays(arrays, classes, where=path)


def from_arrays(
    arrays: dict[str, NDArray[Any]], classes: tuple[str, ...], *, where: object
) -> ArraySource:
    """Make a source of x_train, y_train, x_test, y_test.

    Raises:
        DataError: images are not uint8 of one or three channels, labels are no integers or out of
            range, or lengths differ.
    """
    parts: Parts = {}
    for given in (TRAIN, TEST):
        images, labels = arrays[f"x_{given}"], arrays[f"y_{given}"].reshape(-1)
        if not (_are_images(images) and _are_labels(labels, len(images), len(classes))):
            raise DataError(
                f"x_{given} and y_{given} are no labelled images.",
                where=where,
                got=f"{images.dtype} {images.shape}, {labels.dtype} labels {labels.shape}",
                expected="uint8 images (n, height, width) or (n, height, width, 1 or 3), as many "
                f"whole numbers from 0 to {len(classes) - 1}",
            )
        parts[given] = (images, labels)
    return ArraySource(parts, classes)


def _are_images(images: NDArray[Any]) -> bool:
    has_planes = images.ndim == 3 or (images.ndim == 4 and images.shape[3] in (1, 3))
    return images.dtype == np.uint8 and has_planes


def _are_labels(labels: NDArray[Any], images: int, classes: int) -> bool:
    if labels.dtype.kind not in "iu" or not 0 < labels.size == images:
        return False
    return bool(labels.min() >= 0 and labels.max() < classes)


def from_keras(name: str, classes: tuple[str, ...]) -> ArraySource:
    """Load a set through `keras.datasets`, which downloads it once.

    Raises:
        DataError: it is neither cached nor downloadable.
    """
    import keras

    try:
        (x_train, y_train), (x_test, y_test) = getattr(keras.datasets, name).load_data()
    except Exception as error:
        raise DataError(
            f"The data set {name} cannot be downloaded.",
            where="data.source",
            got=str(error).splitlines()[0] if str(error) else type(error).__name__,
            fix=f"put a file {name}.npz with {', '.join(ARRAY_NAMES)} into the folder that "
            "KVASIR_PRUNE_DATA names, or give its path as data.root",
        ) from None
    arrays = {"x_train": x_train, "y_train": y_train, "x_test": x_test, "y_test": y_test}
    return from_arrays(arrays, classes, where=f"keras.datasets.{name}")
