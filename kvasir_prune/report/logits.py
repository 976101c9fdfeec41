"""The logits that a report rests on, once they are found to be numbers and of the run's images."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from kvasir_prune.data.listing import Listing
from kvasir_prune.errors import LedgerError
from kvasir_prune.evaluation import store
from kvasir_prune.evaluation.metrics import cross_entropies
from kvasir_prune.evaluation.store import Evaluation, SplitLogits
from kvasir_prune.ledger.identity import check


def read_logits(
    evaluation_file: Path, split_file: Path, own: Mapping[str, str]
) -> tuple[Evaluation, Listing]:
    """Read the logits of a run and the listing of its images.

    Args:
        evaluation_file: `evaluation.h5`.
        split_file: `split.csv`.
        own: what the run's files carry to say that they are its own.

    Raises:
        RunFolderError: another run wrote the logits.
        LedgerError: they are damaged, of more or fewer images than listed, or no finite numbers.
    """
    evaluation, listing = store.read(evaluation_file), Listing.read(split_file)
    check(evaluation.origin, own, where=evaluation_file, kind="run", holder="file")
    for name, logits in evaluation.splits.items():
        paths = listing.of(name).paths
        if len(paths) != len(logits.labels):
            raise LedgerError(
                "The split and the logits speak of different images.",
                where=evaluation_file,
                got=f"{len(logits.labels)} {name} images",
                expected=f"{len(paths)}, as in {split_file.name}",
                fix=store.MADE_AGAIN,
            )
        _check_finite(name, logits, paths, evaluation_file)
    return evaluation, listing


def _check_finite(name: str, logits: SplitLogits, paths: tuple[str, ...], where: Path) -> None:
    for moment, values in (("before", logits.before), ("after", logits.after)):
        # Finite logits too far apart for float32 have an infinite loss.
        with np.errstate(invalid="ignore", over="ignore"):
            known = np.isfinite(cross_entropies(values, logits.labels))
        wrong = np.flatnonzero(~(known & np.isfinite(values).all(axis=1)))
        if wrong.size:
            raise LedgerError(
                "The network does not answer with numbers, so nothing can be compared.",
                where=where,
                got=f"NaN or infinity for {wrong.size} of {len(values)} {name} images {moment} "
                f"pruning, first for {paths[wrong[0]]}",
                expected="finite logits and losses",
                fix="train again in a new run folder, with a smaller learning rate",
            )
