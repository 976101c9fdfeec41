"""What `split.csv` says of the images; read without the images."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


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

    @property
    def group_numbers(self) -> NDArray[np.int64] | None:
        """(n,) which images belong together, numbered from 0; None if none do."""
        if not any(self.groups):
            return None
        # An image without a group stands for itself.
        keys = [name or f"\0{place}" for place, name in enumerate(self.groups)]
        return np.unique(keys, return_inverse=True)[1].astype(np.int64)
