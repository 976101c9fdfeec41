"""The images of a run, decoded and divided: what every later room works on."""

from __future__ import annotations

import csv
import hashlib
import io
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import PIL
from numpy.typing import NDArray

from kvasir_prune.backend import code_digest
from kvasir_prune.config.data import DataConfig, FolderData
from kvasir_prune.data.blanking import Rectangle
from kvasir_prune.data.cache import ImageCache, build_cache, is_damaged, open_cache, refuse_bad
from kvasir_prune.data.facts import deviation_lines, facts_of
from kvasir_prune.data.image_table import CachedImage
from kvasir_prune.data.layout import ImageRecord
from kvasir_prune.data.near_duplicates import GROUP, clusters, near_duplicates, refuse_unfit
from kvasir_prune.data.open_source import open_source
from kvasir_prune.data.source import Source
from kvasir_prune.data.split import Item, deviations, hashed, split
from kvasir_prune.errors import DataError, RunFolderError
from kvasir_prune.locking import locked
from kvasir_prune.progress import Progress
from kvasir_prune.publish import publish_text
from kvasir_prune.types import SPLITS

SPLIT_COLUMNS = ("path", "sha256", "class", "group", "split")


@dataclass(frozen=True)
class Dataset:
    """Images, labels and splits.

    Attributes:
        images: (n, height, width, channels) uint8, memory-mapped.
        labels: (n,) int64 class numbers; -1 in rows of skipped files, which no split holds.
        classes: class names in the order of their numbers.
        rows: split -> rows of `images`, ordered by path.
        digest: SHA-256 of the split file: names, contents, classes, groups and splits.
        pixels: SHA-256 of the decoded and resized images: another decoder may give others.
        sizes: (n, 2) int64, height and width in pixels before resizing; -1 where not known.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    classes: tuple[str, ...]
    rows: Mapping[str, NDArray[np.intp]]
    digest: str
    pixels: str = ""
    sizes: NDArray[np.int64] | None = None

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of every image."""
        height, width, channels = self.images.shape[1:]
        return height, width, channels

    def labels_of(self, name: str) -> NDArray[np.int64]:
        """Return the labels of a split, in the order of its rows."""
        labels: NDArray[np.int64] = self.labels[self.rows[name]]
        return labels


def prepare(
    config: DataConfig,
    *,
    side_px: int | None,
    seed: int,
    run_folder: Path,
    progress: Progress,
) -> Dataset:
    """Read, decode, resize, divide and keep the images of a run; done once, then only opened.

    Args:
        config: the `data` section.
        side_px: side of the network's input, None for the images' own size.
        seed: of the split.
        run_folder: receives `split.csv`, `data.json` (a `DataFacts`), and `cache/` or a link
            to it where `data.cache_dir` is set.
        progress: told about what takes long.

    Raises:
        DataError: the images, their folder, archive or manifest cannot be used.
        RunFolderError: `split.csv` is there but does not belong to these images.
    """
    split_file = run_folder / "split.csv"
    cache = open_cache(run_folder / "cache")
    if cache is None:
        if is_damaged(run_folder / "cache"):
            progress.note("The image cache is damaged: it is made anew from the images")
        cache = _build(config, side_px, seed, run_folder, progress)
    lines = [line for line in cache.table if line.row is not None]
    items = [_item(line) for line in lines]
    _check_no_class_lost(cache, items)
    facts_file = run_folder / "data.json"
    if not (split_file.exists() and facts_file.exists()):
        limit = config.max_deviation if isinstance(config, FolderData) else 1.0
        if isinstance(config, FolderData) and config.manifest is None and config.group_by:
            items = _grouped_by_look(cache, lines, items, progress)
        fractions = config.fractions.model_dump()
        assigned = split(items, fractions, seed, max_deviation=limit)
        deviating = deviations(items, assigned, fractions)
        facts = facts_of(config.source, cache, items, deviating, _blank(config))
        progress.note(deviation_lines(facts))
        publish_text(facts_file, facts.model_dump_json(indent=2) + "\n")
        publish_text(split_file, _split_csv(items, assigned))
    return _assemble(config, cache, items, split_file)


def _build(
    config: DataConfig, side_px: int | None, seed: int, run_folder: Path, progress: Progress
) -> ImageCache:
    source = open_source(config, run_folder, progress)
    records = _limited(source.records, config.limit_per_class, seed)
    if source.left_out:
        progress.note(_left_out(source.left_out))
    folder = _cache_folder(config, source, records, side_px, run_folder)
    skip_bad = isinstance(config, FolderData) and config.on_bad_image == "skip"
    cache = open_cache(folder)
    if cache is None:
        # Two runs may want the same shared cache at the same time: one builds, the other waits.
        with locked(folder / ".lock"):
            if open_cache(folder) is None:
                build_cache(
                    folder,
                    source,
                    records,
                    side_px=side_px,
                    blank=_blank(config),
                    skip_bad=skip_bad,
                    progress=progress,
                )
            cache = open_cache(folder)
    if cache is None:
        raise DataError("The image cache vanished while it was built.", where=folder)
    if not skip_bad:
        # A shared cache may come from a run that was told to skip.
        refuse_bad(cache.table)
    return cache


def _cache_folder(
    config: DataConfig,
    source: Source,
    records: Sequence[ImageRecord],
    side_px: int | None,
    run_folder: Path,
) -> Path:
    """Make the folder of the cache; where it is a shared one, leave a link to it in the run's."""
    own = run_folder / "cache"
    if own.is_symlink():
        own.unlink()
    if config.cache_dir is None:
        own.mkdir(parents=True, exist_ok=True)
        return own
    shared = Path(config.cache_dir).expanduser() / _cache_key(
        source, records, side_px, _blank(config)
    )
    shared.mkdir(parents=True, exist_ok=True)
    if own.exists():
        shutil.rmtree(own)
    own.symlink_to(shared.resolve(), target_is_directory=True)
    return shared


def _blank(config: DataConfig) -> Sequence[Rectangle]:
    return config.blank if isinstance(config, FolderData) else ()


def _cache_key(
    source: Source,
    records: Sequence[ImageRecord],
    side_px: int | None,
    blank: Sequence[Rectangle],
) -> str:
    made = (str(side_px), *([str([*map(list, blank)])] if blank else []))
    decoders = (cv2.__version__, PIL.__version__, code_digest(parts=("data",)))
    known = (source.fingerprint, *decoders, *made, *(f"{r.path} {r.group}" for r in records))
    return hashlib.sha256("\n".join(known).encode()).hexdigest()[:16]


def _left_out(names: Sequence[str]) -> str:
    shown = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
    return f"Left out beside the images ({len(names)}): {shown}"


def _limited(
    records: Sequence[ImageRecord], limit: int | None, seed: int
) -> tuple[ImageRecord, ...]:
    if limit is None:
        return tuple(records)
    taken: Counter[tuple[str, str | None]] = Counter()
    kept = []
    for record in sorted(records, key=lambda record: hashed(seed, record.path)):
        taken[record.label, record.given] += 1
        if taken[record.label, record.given] <= limit:
            kept.append(record)
    return tuple(sorted(kept, key=lambda record: record.path))


def _item(line: CachedImage) -> Item:
    record = line.record
    return Item(record.path, line.sha256, record.label, record.given, record.group)


def _grouped_by_look(
    cache: ImageCache, lines: Sequence[CachedImage], items: Sequence[Item], progress: Progress
) -> list[Item]:
    """Return the items with their clusters of near-duplicates as groups."""
    rows = [line.row for line in lines if line.row is not None]
    refuse_unfit(cache.images, len(rows))
    found = clusters(len(rows), near_duplicates(cache.images, rows, progress))
    return [
        replace(item, group=f"{GROUP} {number}")
        for item, number in zip(items, found.tolist(), strict=True)
    ]


def _check_no_class_lost(cache: ImageCache, items: Sequence[Item]) -> None:
    lost = sorted({line.record.label for line in cache.table} - {item.label for item in items})
    if lost:
        raise DataError(
            f"Not one image can be decoded of: {', '.join(lost)}.",
            where="data.root",
            expected="whole images in every class folder",
            fix="repair the images, or leave the class folder out",
        )


def _split_csv(items: Sequence[Item], assigned: Mapping[str, str]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(SPLIT_COLUMNS)
    for item in items:
        writer.writerow((item.path, item.sha256, item.label, item.group or "", assigned[item.path]))
    return text.getvalue()


def _assemble(
    config: DataConfig, cache: ImageCache, items: Sequence[Item], split_file: Path
) -> Dataset:
    content = split_file.read_bytes()
    lines = list(csv.DictReader(io.StringIO(content.decode("utf-8", errors="replace"))))
    stored = [(line.get("path"), line.get("sha256")) for line in lines]
    whole = all(line.get("split") in SPLITS for line in lines)
    if not whole or stored != [(item.path, item.sha256) for item in items]:
        raise RunFolderError(
            "The split of this run does not belong to these images.",
            where=split_file,
            got=f"{len(stored)} images, other names, contents or splits",
            expected=f"the {len(items)} images of the cache",
            fix="use another --run-dir, or restore the images",
        )
    classes = tuple(sorted({item.label for item in items}))
    number = {label: place for place, label in enumerate(classes)}
    labels = np.full(len(cache.table), -1, np.int64)
    sizes = np.array([line.size or (-1, -1) for line in cache.table], np.int64)
    rows: dict[str, list[int]] = {name: [] for name in SPLITS}
    for line, entry in zip((c for c in cache.table if c.row is not None), lines, strict=True):
        labels[line.row] = number[line.record.label]
        rows[entry["split"]].append(line.row)  # type: ignore[arg-type]
    ordered = {name: np.array(places, np.intp) for name, places in rows.items()}
    digest = hashlib.sha256(content).hexdigest()
    return Dataset(cache.images, labels, classes, ordered, digest, cache.digest, sizes)
