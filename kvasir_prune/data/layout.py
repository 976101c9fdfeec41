"""From the paths of a tree to labelled images: class folders, split folders, junk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from kvasir_prune.errors import DataError
from kvasir_prune.types import TEST, TRAIN, VALIDATION

IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp"}
SPLIT_FOLDERS = {
    "train": TRAIN,
    "training": TRAIN,
    "val": VALIDATION,
    "valid": VALIDATION,
    "validation": VALIDATION,
    "test": TEST,
    "testing": TEST,
}


@dataclass(frozen=True)
class ImageRecord:
    """One labelled image before it is read.

    Attributes:
        path: unique name below the set's top folder, `class/file` or `split/class/file`.
        label: its class.
        given: the split that the set itself puts it into, if any.
        group: what must stay together with it (patient, video), if known.
    """

    path: str
    label: str
    given: str | None = None
    group: str | None = None


@dataclass(frozen=True)
class Layout:
    """What was recognised in a tree.

    Attributes:
        top: the folder that holds the class (or split) folders, as a path prefix, "" or "a/b/".
        records: the images, sorted by path.
        classes: class names, sorted.
        left_out: files that are no images by name or are hidden, sorted.
    """

    top: str
    records: tuple[ImageRecord, ...]
    classes: tuple[str, ...]
    left_out: tuple[str, ...]


def recognise(files: Sequence[str], folders: Sequence[str], *, where: object) -> Layout:
    """Read the labels off a tree's paths.

    Args:
        files: POSIX paths of all files.
        folders: POSIX paths of all folders, empty ones included.
        where: named in errors.

    Raises:
        DataError: no class folders, one class only, or a class without images.
    """
    left_out = [name for name in files if _hidden(name)]
    files = [name for name in files if not _hidden(name)]
    folders = [name for name in folders if not _hidden(name)]
    top = _top(files, folders)
    inside = [name.removeprefix(top) for name in folders if name.startswith(top)]
    first = sorted({name.split("/")[0] for name in inside if name})
    has_splits = bool(first) and all(name.lower() in SPLIT_FOLDERS for name in first)
    depth = 2 if has_splits else 1
    classes = {n.split("/")[depth - 1] for n in inside if n.count("/") >= depth - 1}
    records = []
    for name in files:
        parts = name.removeprefix(top).split("/")
        is_image = PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES
        if not (is_image and name.startswith(top) and len(parts) > depth):
            left_out.append(name)
            continue
        given = SPLIT_FOLDERS[parts[0].lower()] if has_splits else None
        records.append(ImageRecord("/".join(parts), parts[depth - 1], given))
    _check_classes(classes, records, where)
    ordered = tuple(sorted(records, key=lambda record: record.path))
    return Layout(top, ordered, tuple(sorted(classes)), tuple(sorted(left_out)))


def _hidden(name: str) -> bool:
    return any(part.startswith(".") or part == "__MACOSX" for part in name.split("/"))


def _top(files: Sequence[str], folders: Sequence[str]) -> str:
    """Descend through folders that hold nothing but one folder of folders."""
    top = ""
    while True:
        below = {n.removeprefix(top).split("/")[0] for n in folders if n.startswith(top)} - {""}
        if len(below) != 1:
            return top
        only = f"{top}{below.pop()}/"
        if not any(name.startswith(only) and len(name) > len(only) for name in folders):
            return top
        if any("/" not in name.removeprefix(top) and _is_image(name) for name in files):
            return top
        if only.rstrip("/").rsplit("/", 1)[-1].lower() in SPLIT_FOLDERS:
            return top
        top = only


def _is_image(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES


def _check_classes(classes: set[str], records: list[ImageRecord], where: object) -> None:
    if not classes:
        raise DataError(
            "There are no class folders.",
            where=where,
            got="no folder with images" if records else "no images in folders",
            expected="one folder for each class, each with its images",
        )
    empty = sorted(classes - {record.label for record in records})
    if empty:
        raise DataError(
            f"A class has no images: {', '.join(empty)}."
            if len(empty) == 1
            else f"{len(empty)} classes have no images: {', '.join(empty)}.",
            where=where,
            expected=f"image files ({', '.join(sorted(IMAGE_SUFFIXES))}) in every class folder",
            fix="add images, or delete the empty folder",
        )
    if len(classes) == 1:
        raise DataError(
            f'There is one class only, "{next(iter(classes))}".',
            where=where,
            got=f"{len(records)} images in one folder",
            expected="at least two class folders",
            fix="point data.root at the folder that holds the class folders",
        )
