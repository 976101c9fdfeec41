"""How fast a run is by its own log, in the stages that score no nodes: training and evaluation.

Nothing depends on it: where the log has no two lines of this process, there is no pace to tell.
"""

from __future__ import annotations

import datetime
import math
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from kvasir_prune.config import RunConfig
from kvasir_prune.data.listing import Listing
from kvasir_prune.experiment.folder import RunFolder
from kvasir_prune.ledger import HDF5Ledger
from kvasir_prune.pruning.evolution import points
from kvasir_prune.types import SPLITS, TRAIN

TAIL_BYTES = 2**18
"""Of the log, what is read of its end."""
LOGITS = 2 * len(SPLITS)
"""Passes over a split for the logits before and after."""
Facts = dict[str, Any]
Done = Callable[[str, Mapping[str, str]], float | None]
"""File and what it holds -> how much is done by then; None where the line says nothing of it."""


def training_pace(folder: RunFolder, config: RunConfig, since: str) -> Facts:
    """Return batches_done, batches, and batches_per_s and left_s, at most, if they are known.

    Args:
        folder: of a run in training.
        config: of the run.
        since: when the present process began, as `run.json` has it.
    """
    images = len(Listing.read(folder.split).of(TRAIN).paths)
    in_epoch = math.ceil(images / config.training.batch_size)

    def done(file: str, holds: Mapping[str, str]) -> float | None:
        if file != folder.checkpoint.name:
            return None
        return int(holds["epochs"]) * in_epoch + int(holds["batches"])

    return _pace(folder, since, done, config.training.max_epochs * in_epoch, "batches")


def evaluation_pace(folder: RunFolder, config: RunConfig, since: str) -> Facts:
    """Return passes_done, passes, and passes_per_s and left_s if they are known.

    A pass is a network on all images of a split; splits count as if they were of one size.
    """
    moments = points(HDF5Ledger(folder.ledger), config.evaluation.every_removals)
    evolution, images = len(SPLITS) * len(moments), len(Listing.read(folder.split).paths)

    def done(file: str, holds: Mapping[str, str]) -> float | None:
        if file == folder.ledger.name:
            return float(holds["evolution"])
        if file == folder.partial_logits.name:
            return evolution + LOGITS * int(holds["images"]) / (2 * images)
        return None

    return _pace(folder, since, done, evolution + LOGITS, "passes")


def _pace(folder: RunFolder, since: str, done: Done, total: int, unit: str) -> Facts:
    """Return how much is done of a total, by the last line of the log, and how fast it went."""
    began = datetime.datetime.fromisoformat(since)
    known = list(_parts(folder.log, done))
    if not known:
        return {}
    last, reached = known[-1]
    age = datetime.datetime.now(datetime.UTC) - last
    facts: Facts = {f"{unit}_done": reached, unit: total, "last_commit_age_s": age.total_seconds()}
    recent = [pair for pair in known if pair[0] >= began]
    # Before the last line that says as much as the first, something else was done.
    first = max((pair for pair in recent if pair[1] == recent[0][1]), default=known[-1])
    if reached > first[1]:
        rate = (reached - first[1]) / (last - first[0]).total_seconds()
        facts |= {f"{unit}_per_s": rate, "left_s": (total - reached) / rate}
    return facts


def _parts(log: Path, done: Done) -> Iterator[tuple[datetime.datetime, float]]:
    """Yield when a line of the log's end was written, and how much was done by then."""
    try:
        with log.open("rb") as stream:
            start = max(0, stream.seek(0, os.SEEK_END) - TAIL_BYTES)
            stream.seek(start)
            text = stream.read().decode(errors="replace")
    except OSError:
        return
    for line in text.split("\n")[:-1]:
        # One may be cut, or torn by the end of its process.
        with suppress(ValueError, KeyError):
            when, file, *words = line.split()
            part = done(file, dict(word.split("=", 1) for word in words))
            if part is not None:
                yield datetime.datetime.fromisoformat(when), part
