"""Logits of an evaluation under way: killed, it goes on at the step.

Layout of `evaluation.partial.h5`: /{split}/{moment}, (images so far, classes) float32. It is of use
only to the run that wrote it, on the networks it wrote it for, and deleted at the end.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kvasir_prune.ledger.hdf5_file import publishing_hdf5, reading_hdf5

SCHEMA_VERSION = 1
Parts = tuple[NDArray[np.float32], ...]


class PartialLogits:
    """What is computed so far; a file of another run counts as none.

    Args:
        path: of the file; read if it exists.
        origin: digests of all that the logits are a function of.

    Raises:
        LedgerError: the file is damaged.
    """

    def __init__(self, path: Path, origin: Mapping[str, str]) -> None:
        self._path, self._origin = path, json.dumps(origin, sort_keys=True)
        self._parts: dict[tuple[str, str], Parts] = {}
        if path.exists():
            self._read()

    def count(self, split: str, moment: str) -> int:
        """Return for how many images of a split, from the first on, the logits are there."""
        return sum(map(len, self._parts.get((split, moment), ())))

    def record(self, split: str, moment: str, part: NDArray[np.float32]) -> None:
        """Add the logits of the next images, (n, classes) float32."""
        self._parts[split, moment] = (*self._parts.get((split, moment), ()), part)

    def whole(self, split: str, moment: str) -> NDArray[np.float32]:
        """Return all logits of a split, (images, classes) float32."""
        return np.concatenate(self._parts[split, moment]).astype(np.float32, copy=False)

    def commit(self) -> None:
        """Publish what is there.

        Raises:
            StorageError: the file system does not take it.
        """
        holds = {"images": sum(self.count(*key) for key in tuple(self._parts))}
        with publishing_hdf5(self._path, SCHEMA_VERSION, holds=holds) as file:
            file.attrs["origin"] = self._origin
            for (split, moment), parts in tuple(self._parts.items()):
                file.create_dataset(f"{split}/{moment}", data=np.concatenate(parts))

    def _read(self) -> None:
        with reading_hdf5(self._path, SCHEMA_VERSION) as file:
            if file.attrs["origin"] != self._origin:
                return
            self._parts = {
                (split, moment): (dataset[()],)
                for split, group in file.items()
                for moment, dataset in group.items()
            }
