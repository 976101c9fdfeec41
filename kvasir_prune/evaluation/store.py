"""What the networks before and after pruning say of every image, kept; read without Keras.

Layout of `evaluation.h5`::

    /{split}/labels  (n,) int64
    /{split}/before  (n, classes) float32 logits
    /{split}/after   (n, classes) float32 logits

Images stand in the order of `split.csv`, split by split. Attributes, in JSON: `classes`, a list of
names; `origin`, the digests of the run; `margin`, as it stood when the images were looked at.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kvasir_prune.ledger.hdf5_file import publishing_hdf5, reading_hdf5

SCHEMA_VERSION = 3
ATTRIBUTES = ("classes", "origin", "margin")


@dataclass(frozen=True)
class SplitLogits:
    """One split: labels (n,) int64, logits before and after pruning (n, classes) float32."""

    labels: NDArray[np.int64]
    before: NDArray[np.float32]
    after: NDArray[np.float32]


@dataclass(frozen=True)
class Evaluation:
    """What is kept of an evaluation.

    Attributes:
        classes: names in the order of the logits.
        splits: split -> its logits.
        origin: what it is a function of, as digests.
        margin: `report.non_inferiority_margin` when the networks were evaluated, None without.
    """

    classes: tuple[str, ...]
    splits: Mapping[str, SplitLogits]
    origin: Mapping[str, str]
    margin: float | None


def write(path: Path, evaluation: Evaluation) -> None:
    """Publish an evaluation."""
    with publishing_hdf5(path, SCHEMA_VERSION) as file:
        for name in ATTRIBUTES:
            file.attrs[name] = json.dumps(getattr(evaluation, name))
        for name, split in evaluation.splits.items():
            group = file.create_group(name)
            group.create_dataset("labels", data=split.labels)
            group.create_dataset("before", data=split.before)
            group.create_dataset("after", data=split.after)


def read(path: Path) -> Evaluation:
    """Read an evaluation.

    Raises:
        LedgerError: the file is damaged.
    """
    with reading_hdf5(path, SCHEMA_VERSION) as file:
        classes, origin, margin = (json.loads(file.attrs[name]) for name in ATTRIBUTES)
        splits = {
            name: SplitLogits(group["labels"][()], group["before"][()], group["after"][()])
            for name, group in file.items()
        }
    return Evaluation(tuple(classes), splits, origin, margin)
