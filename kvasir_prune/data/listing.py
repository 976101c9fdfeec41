"""What `split.csv` says of the images; read without the images."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kvasir_prune.data.linkage import linked


@dataclass(frozen=True)
class Listing:
    """Images in the order of the file; within a split that is the order of its logits.

    Attributes:
        paths: of the images.
        digests: SHA-256 of their files.
        classes: their names.
        groups: names of the groups; empty where none is known.
        splits: their names.
    """

    paths: tuple[str, ...]
    digests: tuple[str, ...]
    classes: tuple[str, ...]
    groups: tuple[str, ...]
    splits: tuple[str, ...]

    @classmethod
    def read(cls, split_file: Path) -> Listing:
        """Read the whole file."""
        with split_file.open(encoding="utf-8", newline="") as file:
            lines = list(csv.DictReader(file))
        columns = ("path", "sha256", "class", "group", "split")
        return cls(*(tuple(line[name] for line in lines) for name in columns))

    def of(self, split: str) -> Listing:
        """Return the images of one split."""
        return self._only(self._places(split))

    def by_split(self, splits: Sequence[str]) -> Listing:
        """Return the images of some splits, one split after the other."""
        kept = [place for split in splits for place in self._places(split)]
        return self._only(kept)

    def _places(self, split: str) -> list[int]:
        return [place for place, name in enumerate(self.splits) if name == split]

    def _only(self, kept: Sequence[int]) -> Listing:
        return Listing(*(tuple(column[place] for place in kept) for column in vars(self).values()))

    def units(self, look_alikes: Sequence[Sequence[str]] = ()) -> NDArray[np.int64] | None:
        """Return which images belong together, (n,) numbered from 0; None if none do.

        Args:
            look_alikes: paths of images that look almost the same; with the groups of the file they
                join whatever is linked through either.
        """
        place = {path: number for number, path in enumerate(self.paths)}
        members = defaultdict(list)
        for number, name in enumerate(self.groups):
            if name:
                members[name].append(number)
        alike = [[place[path] for path in paths if path in place] for paths in look_alikes]
        links = [(group[0], other) for group in (*members.values(), *alike) for other in group[1:]]
        if not links and not members:
            return None
        return linked(len(self.paths), links)
