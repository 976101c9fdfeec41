"""The Kvasir v2 images: 8 classes of 1000 endoscopy images, downloaded once and checked once.

Source: https://datasets.simula.no/kvasir. Its authors restrict the use to research and education;
any other use needs their written permission. Whoever publishes results cites

    K. Pogorelov et al., "KVASIR: A Multi-Class Image Dataset for Computer Aided Gastrointestinal
    Disease Detection", MMSys'17, Taipei, 2017, pp. 164-169, doi:10.1145/3083187.3083212.

No checksum of the archive is published. The archive's own CRC-32 of every member is checked
instead, and the SHA-256 of what passed is noted in `kvasir-dataset-v2.zip.sha256.json` beside it.
"""

from __future__ import annotations

import struct
import zlib
from collections import Counter
from collections.abc import Iterable
from pathlib import Path, PurePath, PurePosixPath
from typing import Final, Literal
from zipfile import BadZipFile, ZipFile, ZipInfo

from pydantic import BaseModel, ConfigDict, ValidationError

from kvasir_prune.data.download import fetch
from kvasir_prune.data.kvasir_classes import KVASIR_CLASSES
from kvasir_prune.errors import DataError, StorageError
from kvasir_prune.progress import Progress
from kvasir_prune.publish import publish_text, sha256_file

URL: Final = "https://datasets.simula.no/downloads/kvasir/kvasir-dataset-v2.zip"
BYTES_IN_2023: Final = 2_489_312_085
ARCHIVE_NAME: Final = "kvasir-dataset-v2.zip"
FOLDER_NAME: Final = "kvasir-dataset-v2"
CLASSES: Final = KVASIR_CLASSES
IMAGES_PER_CLASS: Final = 1000

_IMAGE_SUFFIXES: Final = frozenset({".jpg", ".jpeg", ".png"})
_CHUNK_BYTES: Final = 1 << 20
# What `zipfile` and `zlib` raise when bytes of an archive have changed: a wrong CRC, a broken
# stream, or a flipped bit that now asks for encryption, a foreign compression or a wild offset.
_DAMAGE: Final = (
    BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    RuntimeError,
    ValueError,
    OverflowError,
)


class _Verified(BaseModel):
    """The content of the `.sha256.json` beside an archive that passed the check."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    size: int
    sha256: str
    mtime_ns: int
    images_per_class: int
    verified: Literal[True] = True


def obtain(
    folder: Path,
    *,
    url: str = URL,
    images_per_class: int = IMAGES_PER_CLASS,
    progress: Progress,
) -> Path:
    """Return the Kvasir v2 images, downloading and checking the archive if that is still to do.

    An unpacked `kvasir-dataset-v2` in `folder` is taken as it is, only its images are counted. An
    archive is read in full the first time; later calls compare its size and time of change.

    Args:
        folder: where the archive is, or shall be; created if absent.
        url: address of the archive.
        images_per_class: how many images each of the eight classes must have.
        progress: shown the download and the check in bytes.

    Returns:
        `folder/kvasir-dataset-v2` if there is such a folder, else
        `folder/kvasir-dataset-v2.zip`.

    Raises:
        DataError: the archive cannot be downloaded or read, members are damaged, or the classes
            or their numbers of images are not those of Kvasir v2. Nothing is deleted.
    """
    unpacked = folder / FOLDER_NAME
    if unpacked.is_dir():
        fix = f"complete {unpacked}, or delete it and run again"
        _check_counts(unpacked.glob("*/*"), images_per_class, unpacked, fix)
        return unpacked
    archive = folder / ARCHIVE_NAME
    try:
        folder.mkdir(parents=True, exist_ok=True)
        fetch(url, archive, expected_bytes=None, progress=progress)
        _verify_once(archive, images_per_class, progress, is_original=url == URL)
    except OSError as error:
        raise DataError(
            "The folder of the Kvasir v2 archive cannot be used.",
            where=error.filename or folder,
            got=error.strerror or str(error),
            fix="choose a folder that can be read and written",
        ) from error
    return archive


def _verify_once(
    archive: Path, images_per_class: int, progress: Progress, *, is_original: bool
) -> None:
    record = archive.with_name(f"{archive.name}.sha256.json")
    now = archive.stat()
    try:
        known = _Verified.model_validate_json(record.read_bytes())
    except (OSError, ValidationError):
        known = None
    if known is not None and (known.size, known.mtime_ns, known.images_per_class) == (
        now.st_size,
        now.st_mtime_ns,
        images_per_class,
    ):
        return
    if is_original and now.st_size != BYTES_IN_2023:
        progress.note(
            f"{archive.name} has {now.st_size:,} bytes; it had {BYTES_IN_2023:,} in 2023."
        )
    _verify(archive, images_per_class, progress)
    with progress.task(f"Computing the SHA-256 of {archive.name}, bytes", now.st_size) as task:
        sha256 = sha256_file(archive)
        task.advance(now.st_size)
    passed = _Verified(
        size=now.st_size,
        sha256=sha256,
        mtime_ns=now.st_mtime_ns,
        images_per_class=images_per_class,
    )
    try:
        publish_text(record, passed.model_dump_json(indent=2) + "\n")
    except StorageError as error:
        progress.note(f"{record} cannot be written ({error.got}); the next run checks again.")


def _verify(archive: Path, images_per_class: int, progress: Progress) -> None:
    again = f"delete {archive} and run again"
    try:
        with ZipFile(archive) as opened:
            members = opened.infolist()
            damaged = _damaged(opened, members, progress)
    except _DAMAGE as error:
        raise DataError(
            "The file is not a complete zip archive.", where=archive, got=str(error), fix=again
        ) from error
    if damaged:
        others = f" and {len(damaged) - 5} more" if len(damaged) > 5 else ""
        raise DataError(
            f"{len(damaged)} of {len(members)} members of the archive are damaged.",
            where=archive,
            got=", ".join(damaged[:5]) + others,
            expected="members whose bytes fit their CRC-32",
            fix=again,
        )
    names = (PurePosixPath(member.filename) for member in members if not member.is_dir())
    _check_counts(names, images_per_class, archive, again)


def _damaged(opened: ZipFile, members: list[ZipInfo], progress: Progress) -> list[str]:
    """Read every member to its end; return the names of those that do not fit their CRC-32."""
    damaged = []
    total = sum(member.file_size for member in members)
    with progress.task("Checking the archive, bytes", total) as task:
        for member in members:
            try:
                with opened.open(member) as stream:
                    while stream.read(_CHUNK_BYTES):
                        pass
            except _DAMAGE:
                damaged.append(member.filename)
            task.advance(member.file_size, damaged=len(damaged))
    return damaged


def _check_counts(names: Iterable[PurePath], images_per_class: int, where: Path, fix: str) -> None:
    images = {name for name in names if _is_image(name)}
    found = Counter(name.parent.name for name in images)
    wrong = sorted(
        f"{class_name} {found[class_name]}"
        for class_name in {*CLASSES, *found}
        if found[class_name] != (images_per_class if class_name in CLASSES else 0)
    )
    if wrong:
        raise DataError(
            "These are not the Kvasir v2 images: classes or numbers of images differ.",
            where=where,
            got=f"{', '.join(wrong)} images",
            expected=f"{images_per_class} images in each of {', '.join(CLASSES)}",
            fix=fix,
        )


def _is_image(name: PurePath) -> bool:
    # macOS packs a `._x.jpg` beside every `x.jpg`; it is no image.
    return name.suffix.lower() in _IMAGE_SUFFIXES and not name.name.startswith(".")
