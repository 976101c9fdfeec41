"""From the `data` section to a source: find it, fetch it or render it, then open it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from kvasir_prune.config.data import (
    Cifar10,
    DataConfig,
    Digits,
    FashionMnist,
    ImageFolder,
    KvasirV2,
    Mnist,
    SyntheticEndoscopy,
)
from kvasir_prune.data import arrays, kvasir_v2, synthetic
from kvasir_prune.data.image_folder import open_image_folder
from kvasir_prune.data.source import Source
from kvasir_prune.errors import DataError
from kvasir_prune.progress import Progress

DATA_VARIABLE = "KVASIR_PRUNE_DATA"
CLASSES = {
    "mnist": arrays.DIGITS,
    "fashion_mnist": arrays.CLOTHES,
    "cifar10": arrays.CIFAR10,
}


def open_source(config: DataConfig, scratch: Path, progress: Progress) -> Source:
    """Open the images that the configuration names.

    Args:
        config: the `data` section.
        scratch: existing folder where a source may put files that it makes (rendered images).
        progress: told about downloads and rendering.

    Raises:
        DataError: they are not there, cannot be fetched, or are not usable.
    """
    match config:
        case ImageFolder():
            return open_image_folder(config, _located(config.root))
        case KvasirV2() | SyntheticEndoscopy():
            return open_image_folder(config, _made(config, scratch, progress))
        case Mnist() | FashionMnist() | Cifar10():
            return _array_set(config.root, config.source, CLASSES[config.source])
        case Digits():
            return arrays.digits()


def _made(config: KvasirV2 | SyntheticEndoscopy, scratch: Path, progress: Progress) -> Path:
    """Download or render what is not there yet; return where it lies."""
    if isinstance(config, KvasirV2):
        return kvasir_v2.obtain(
            locate(config.root or "data"),
            url=config.url,
            images_per_class=config.images_per_class,
            progress=progress,
        )
    return synthetic.write_dataset(
        Path(config.root) if config.root else scratch / "synthetic_endoscopy",
        images_per_class=config.images_per_class,
        side_px=config.render_side_px,
        seed=config.render_seed,
        progress=progress,
    )


def locate(root: str) -> Path:
    """Return the path that `data.root` means: as it stands, or below KVASIR_PRUNE_DATA."""
    path = Path(root).expanduser()
    base = os.environ.get(DATA_VARIABLE)
    if not path.exists() and not path.is_absolute() and base and (Path(base) / path).exists():
        return Path(base) / path
    return path


def _located(root: str | None) -> Path:
    if root is None:
        raise DataError(
            "The source image_folder needs a folder or an archive.",
            where="data.root",
            expected="a folder of class folders, or a .zip or .tar.gz of one",
        )
    return locate(root)


def _array_set(root: str | None, name: str, classes: tuple[str, ...]) -> Source:
    path = _local_copy(root, name)
    if path is None:
        return arrays.from_keras(name, classes)
    if path.suffix == ".npz":
        return arrays.from_npz(path, classes)
    return open_image_folder(ImageFolder(source="image_folder"), path)


def _local_copy(root: str | None, name: str) -> Path | None:
    """Return what `data.root` names, or a file of the set's name below KVASIR_PRUNE_DATA."""
    if root is not None:
        path = locate(root)
        inside = _first_existing(path, name) if path.is_dir() else None
        return inside or path
    base = os.environ.get(DATA_VARIABLE)
    return _first_existing(Path(base), name) if base else None


def _first_existing(folder: Path, name: str) -> Path | None:
    candidates = (folder / f"{name}{suffix}" for suffix in (".npz", ".zip", ".tar.gz", ""))
    exists: Callable[[Path], bool] = Path.exists
    return next(filter(exists, candidates), None)
