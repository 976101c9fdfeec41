"""What `split.csv` says of the images of one split; read without the images."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Listing:
    """The images of one split, in the order of the file, which is that of the logits.

    Attributes:
        paths: (n,) of the images.
        groups: (n,) int64, which images belong together, numbered from 0; None if none do.
    """

    paths: tuple[str, ...]
    groups: NDArray[np.int64] | None

    @classmethod
    def read(cls, split_file: Path, split: str) -> Listing:
        """Read the lines of one split."""
        with split_file.open(encoding="utf-8", newline="") as file:
            lines = [line for line in csv.DictReader(file) if line["split"] == split]
        names = [line["group"] for line in lines]
        # An image without a group stands for itself.
        keys = [name or f"\0{place}" for place, name in enumerate(names)]
        numbers = np.unique(keys, return_inverse=True)[1].astype(np.int64) if any(names) else None
        return cls(tuple(line["path"] for line in lines), numbers)
