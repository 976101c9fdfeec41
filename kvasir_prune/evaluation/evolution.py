"""Loss and accuracy of all splits as nodes go (thesis Figures 5.1 to 5.4), from the ledger."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from kvasir_prune.data.dataset import Dataset
from kvasir_prune.evaluation.metrics import loss_accuracy
from kvasir_prune.evaluation.predict import predict
from kvasir_prune.ledger.contract import Ledger
from kvasir_prune.models.chain import Chain
from kvasir_prune.models.forward import mask, weights_of
from kvasir_prune.models.section import Section
from kvasir_prune.progress import Task
from kvasir_prune.types import SPLITS, LossAccuracy, Removed


@dataclass(frozen=True)
class Point:
    """The network after so many removals; `layer` is that of the last one, -1 before the first."""

    removed: int
    layer: int


def points(ledger: Ledger, every: int) -> tuple[Point, ...]:
    """Return where to measure: the start, every k-th removal, each layer's last, the end."""
    removals = [entry for entry in ledger.entries if isinstance(entry, Removed)]
    chosen = [Point(0, -1)]
    for count, entry in enumerate(removals, start=1):
        is_last = count == len(removals) or removals[count].layer != entry.layer
        if is_last or count % every == 0:
            chosen.append(Point(count, entry.layer))
    return tuple(chosen)


def measure_point(
    network: Section,
    chain: Chain,
    dataset: Dataset,
    ledger: Ledger,
    point: Point,
    *,
    batch_size: int,
    task: Task,
) -> Iterator[tuple[str, LossAccuracy]]:
    """Yield loss and accuracy of every split for the network as it was at `point`."""
    weights = mask(chain, weights_of(chain), _removed_at(ledger, point))
    for name in SPLITS:
        logits = predict(
            network, weights, dataset.images, dataset.rows[name], batch_size=batch_size, task=task
        )
        yield name, loss_accuracy(logits, dataset.labels_of(name))


def _removed_at(ledger: Ledger, point: Point) -> Mapping[str, list[int]]:
    removed: dict[str, list[int]] = {}
    removals = [entry for entry in ledger.entries if isinstance(entry, Removed)]
    for entry in removals[: point.removed]:
        removed.setdefault(ledger.layers[entry.layer].name, []).append(entry.node)
    return removed
