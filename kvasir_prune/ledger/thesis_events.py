"""From the logs of the program of 2020 to what a ledger holds."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from kvasir_prune.ledger.thesis_logs import ThesisLogs
from kvasir_prune.types import TEST, TRAIN, VALIDATION, Entry, LayerFinished, LossAccuracy, Removed


def entries_of(logs: ThesisLogs) -> tuple[LossAccuracy, tuple[Entry, ...]]:
    """Return the baseline and the entries of a ledger; NaN stands for what no log holds.

    Evaluations were not logged: they are 0. A layer counts as finished once a later one was begun.
    """
    losses = logs.series.get((VALIDATION, "loss"), ())
    accuracies = logs.series.get((VALIDATION, "accuracy"), ())
    done = 0
    entries: list[Entry] = []
    removed = logs.removed or ()
    for layer, nodes in enumerate(removed):
        for node in nodes:
            before, after = _at(losses, done), _at(losses, done + 1)
            done += 1
            accuracy = _at(accuracies, done)
            entries.append(Removed(layer, node, before - after, after, accuracy, 0))
        if layer + 1 < len(removed):
            entries.append(LayerFinished(layer, 0))
    return LossAccuracy(_at(losses, 0), _at(accuracies, 0)), tuple(entries)


def evolution_of(logs: ThesisLogs) -> Iterator[tuple[int, int, str, float, float]]:
    """Yield removals, layer, split, loss and accuracy of every point.

    The layer is -1 before the first removal, and after the last that a log names.
    """
    layers = [-1, *(layer for layer, nodes in enumerate(logs.removed or ()) for _ in nodes)]
    for split in (TRAIN, VALIDATION, TEST):
        losses, accuracies = (
            logs.series.get((split, quantity), ()) for quantity in ("loss", "accuracy")
        )
        for done in range(max(len(losses), len(accuracies))):
            layer = layers[done] if done < len(layers) else -1
            yield done, layer, split, _at(losses, done), _at(accuracies, done)


def _at(values: Sequence[float], place: int) -> float:
    return values[place] if place < len(values) else math.nan
