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
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from kvasir_prune.errors import LedgerError
from kvasir_prune.ledger.hdf5_file import publishing_hdf5, reading_hdf5
from kvasir_prune.types import SPLITS

SCHEMA_VERSION = 3
ATTRIBUTES = ("classes", "origin", "margin")
PARTS = ("labels", "before", "after")
MADE_AGAIN = "delete evaluation.h5, and `kvasir-prune run` makes it again"


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
            for part in PARTS:
                file.create_dataset(f"{name}/{part}", data=getattr(split, part))


def read(path: Path) -> Evaluation:
    """Read an evaluation.

    Returns:
        All splits, in the order of `SPLITS`; one of them may be without images. The logits need not
        be finite.

    Raises:
        LedgerError: the file is damaged, or its labels and logits do not fit each other.
    """
    with reading_hdf5(path, SCHEMA_VERSION) as file:
        try:
            classes, origin, margin = (json.loads(file.attrs[name]) for name in ATTRIBUTES)
        except (KeyError, ValueError) as error:
            raise _unfit(path, error, f"the attributes {', '.join(ATTRIBUTES)}") from None
        splits = {name: _split(file, name, len(classes), where=path / name) for name in SPLITS}
    return Evaluation(tuple(classes), splits, origin, margin)


def _split(file: h5py.File, name: str, classes: int, *, where: Path) -> SplitLogits:
    stored = {part: file.get(f"{name}/{part}") for part in PARTS}
    if missing := [p for p, found in stored.items() if not isinstance(found, h5py.Dataset)]:
        raise _unfit(where, f"no {', no '.join(missing)}", ", ".join(PARTS))
    labels, before, after = (found[()] for found in stored.values())
    logits = (np.dtype(np.float32), (labels.size, classes))
    wanted = ((np.dtype(np.int64), (labels.size,)), logits, logits)
    found = tuple((array.dtype, array.shape) for array in (labels, before, after))
    if found != wanted:
        raise _unfit(where, _shapes(found), _shapes(wanted))
    outside = np.flatnonzero((labels < 0) | (labels >= classes))
    if outside.size:
        first = outside[0]
        raise _unfit(where, f"label {labels[first]} of image {first}", f"0 to {classes - 1}")
    return SplitLogits(labels, before, after)


def _shapes(arrays: tuple[tuple[np.dtype[Any], tuple[int, ...]], ...]) -> str:
    return ", ".join(
        f"{part} {dtype} {shape}" for part, (dtype, shape) in zip(PARTS, arrays, strict=True)
    )


def _unfit(where: object, got: object, expected: str) -> LedgerError:
    return LedgerError(
        "The labels and logits of an evaluation do not fit each other.",
        where=where,
        got=got,
        expected=expected,
        fix=MADE_AGAIN,
    )
