"""What the networks before and after pruning say of every image, kept; read without Keras.

Layout of `evaluation.h5`::

    /{split}/labels  (n,) int64
    /{split}/before  (n, classes) float32 logits
    /{split}/after   (n, classes) float32 logits

Images stand in the order of `split.csv`, split by split. Attributes: `classes`, a JSON
list of names, and `origin`, the digests of the run as JSON.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kvasir_prune.ledger.hdf5_file import publishing_hdf5, reading_hdf5

SCHEMA_VERSION = 2


@dataclass(frozen=True)
class SplitLogits:
    """One split: labels (n,) int64, logits before and after pruning (n, classes) float32."""

    labels: NDArray[np.int64]
    before: NDArray[np.float32]
    after: NDArray[np.float32]


def write(
    path: Path,
    classes: tuple[str, ...],
    splits: Mapping[str, SplitLogits],
    origin: Mapping[str, str],
) -> None:
    """Publish the logits of all splits; `origin` says of which run."""
    with publishing_hdf5(path, SCHEMA_VERSION) as file:
        file.attrs["classes"] = json.dumps(classes)
        file.attrs["origin"] = json.dumps(origin)
        for name, split in splits.items():
            group = file.create_group(name)
            group.create_dataset("labels", data=split.labels)
            group.create_dataset("before", data=split.before)
            group.create_dataset("after", data=split.after)


def read(path: Path) -> tuple[tuple[str, ...], dict[str, SplitLogits], dict[str, str]]:
    """Read class names, the logits of all splits, and the origin.

    Raises:
        LedgerError: the file is damaged.
    """
    with reading_hdf5(path, SCHEMA_VERSION) as file:
        classes = tuple(json.loads(file.attrs["classes"]))
        origin = json.loads(file.attrs["origin"])
        splits = {
            name: SplitLogits(group["labels"][()], group["before"][()], group["after"][()])
            for name, group in file.items()
        }
    return classes, splits, origin
