"""Whether a comparison on these images can be trusted: leakage, shortcuts, balance."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kvasir_prune.data import judging, judging_looks
from kvasir_prune.data.blank_regions import blank_regions
from kvasir_prune.data.dataset import Dataset
from kvasir_prune.data.findings import (
    PAIRS_KEPT,
    BlankRegion,
    DataCheck,
    Finding,
    LeakedPair,
    RegionTells,
)
from kvasir_prune.data.listing import Listing
from kvasir_prune.data.looks import looks_of
from kvasir_prune.data.near_duplicates import Pair, clusters, near_duplicates, unfit
from kvasir_prune.data.shortcuts import predictability, size_tells
from kvasir_prune.progress import Progress
from kvasir_prune.types import SPLITS, TEST, TRAIN, VALIDATION

_BENCHMARK = "Not looked for in a benchmark set."


@dataclass(frozen=True)
class _Images:
    """All images of all splits, those of a split in its order."""

    pixels: NDArray[np.uint8]
    rows: NDArray[np.intp]
    labels: NDArray[np.int64]
    listing: Listing
    names: tuple[str, ...]

    def of(self, split: str) -> NDArray[np.intp]:
        """Return the places of a split's images."""
        return np.flatnonzero(np.array(self.listing.splits) == split)


def check(
    dataset: Dataset, listing: Listing, skipped: int, *, photographs: bool, progress: Progress
) -> DataCheck:
    """Make every check.

    Args:
        dataset: the images.
        listing: what `split.csv` says of them.
        skipped: files that could not be decoded and were left out.
        photographs: whether they are image files of the user's; benchmark arrays are too small and
            too well known to look for duplicates and shortcuts in.
        progress: told about what takes long.
    """
    ordered = listing.by_split(SPLITS)
    rows = np.concatenate([dataset.rows[name] for name in SPLITS])
    images = _Images(dataset.images, rows, dataset.labels[rows], ordered, dataset.classes)
    counts = judging.counts_of(ordered.classes, ordered.splits)
    pairs, accuracies, blank = [], None, list[BlankRegion]()
    found = [
        judging.class_balance(counts),
        judging.small_classes(counts),
        judging.unreadable(skipped, len(rows)),
        judging.exact_duplicates(ordered.digests, ordered.splits, ordered.classes),
    ]
    why_not = unfit(images.pixels, len(rows)) if photographs else _BENCHMARK
    if why_not:
        found += [
            judging.not_assessed("NEAR_DUPLICATES", "Near-duplicates across splits", why_not),
            judging.not_assessed("CONTRARY_LABELS", "Near-duplicates of two classes", why_not),
        ]
    else:
        pairs = near_duplicates(images.pixels, rows.tolist(), progress)
        places = [(pair.first, pair.second) for pair in pairs]
        found += judging.near_duplicates(places, ordered.splits, ordered.classes)
    found.append(judging.groups(ordered.groups, ordered.splits))
    few = len(images.of(VALIDATION)) < judging.ENOUGH_TO_JUDGE
    if photographs and not few:
        accuracies, blank = _edges(images, progress)
        found += [judging_looks.border(accuracies, len(images.names)), judging_looks.blank(blank)]
    else:
        why = f"Fewer than {judging.ENOUGH_TO_JUDGE} validation images." if few else _BENCHMARK
        found += [
            judging.not_assessed("BORDER_TELLS_CLASS", "Borders and corners", why),
            judging.not_assessed("BLANK_REGION", "Blanked regions", why),
        ]
    found.append(_sizes(dataset, images, few))
    return DataCheck(
        findings=found,
        look_alikes=_look_alikes(images, pairs),
        leaked_pairs=list(_leaked(images, pairs)),
        predictability=accuracies,
        blank_regions=blank,
    )


def _edges(images: _Images, progress: Progress) -> tuple[dict[str, RegionTells], list[BlankRegion]]:
    looks = looks_of(images.pixels, images.rows.tolist(), progress)
    cells = looks.cells
    learnt, judged = images.of(TRAIN), images.of(VALIDATION)
    accuracies = predictability(
        (cells[learnt], images.labels[learnt]), (cells[judged], images.labels[judged])
    )
    return accuracies, blank_regions(
        looks.black, images.labels, images.names, judging_looks.BLANK_DIFFERENCE
    )


def _sizes(dataset: Dataset, images: _Images, few: bool) -> Finding:
    found = None if dataset.sizes is None else dataset.sizes[images.rows]
    if found is None or (found < 0).any():
        why = "These images were resized by an older version, which did not keep their sizes."
        return judging.not_assessed("IMAGE_SIZES", "Sizes of the images", why)
    counted = Counter((int(height), int(width)) for height, width in found)
    if len(counted) > 1 and few:
        why = f"Fewer than {judging.ENOUGH_TO_JUDGE} validation images."
        return judging.not_assessed("IMAGE_SIZES", "Sizes of the images", why)
    tells = None
    if len(counted) > 1:
        learnt, judged = (
            (found[places], images.labels[places])
            for places in (images.of(TRAIN), images.of(VALIDATION))
        )
        tells = size_tells(learnt, judged, images.names)
        if tells is None:
            why = "The training or the validation images are of one class only."
            return judging.not_assessed("IMAGE_SIZES", "Sizes of the images", why)
    return judging_looks.sizes(counted, min(images.pixels.shape[1:3]), tells)


def _look_alikes(images: _Images, pairs: Sequence[Pair]) -> list[list[str]]:
    """Return the sets of two or more test images that are near-duplicates, by their paths."""
    tests = images.of(TEST)
    of = clusters(len(images.rows), pairs)[tests]
    found = defaultdict(list)
    for place, cluster in zip(tests, of.tolist(), strict=True):
        found[cluster].append(images.listing.paths[place])
    return [paths for paths in found.values() if len(paths) > 1]


def _leaked(images: _Images, pairs: Sequence[Pair]) -> Iterator[LeakedPair]:
    """Yield the pairs across splits, those of a test image first, then the most alike."""
    listing = images.listing
    splits = listing.splits
    across = [pair for pair in pairs if splits[pair.first] != splits[pair.second]]
    across.sort(key=lambda p: (TEST not in (splits[p.first], splits[p.second]), -p.correlation))
    for pair in across[:PAIRS_KEPT]:
        one, other = sorted((pair.first, pair.second), key=lambda place: splits[place] != TEST)
        yield LeakedPair(
            path=listing.paths[one],
            split=splits[one],
            label=listing.classes[one],
            other_path=listing.paths[other],
            other_split=listing.splits[other],
            other_label=listing.classes[other],
            correlation=pair.correlation,
        )
