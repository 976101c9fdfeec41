"""Loss and accuracy as nodes go (thesis Figures 5.1 to 5.4): a ledger replayed before a scorer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from kvasir_prune.importance.scorer import Scorer
from kvasir_prune.ledger.contract import Ledger
from kvasir_prune.types import LossAccuracy, Removed


@dataclass(frozen=True)
class Point:
    """A moment of the pruning.

    Attributes:
        removed: how many nodes are removed, in all layers.
        layer: index into the ledger's layers of the last removal, -1 before the first.
    """

    removed: int
    layer: int


def points(ledger: Ledger, every: int) -> tuple[Point, ...]:
    """Return where to measure: the start, every k-th removal, each layer's last, the end."""
    removals = _removals(ledger)
    chosen = [Point(0, -1)]
    for count, entry in enumerate(removals, start=1):
        is_last = count == len(removals) or removals[count].layer != entry.layer
        if is_last or count % every == 0:
            chosen.append(Point(count, entry.layer))
    return tuple(chosen)


def replay(
    ledger: Ledger, scorer: Scorer, wanted: tuple[Point, ...]
) -> Iterator[tuple[Point, LossAccuracy]]:
    """Yield each point with what the scorer measures there.

    Args:
        ledger: of a pruning job.
        scorer: on any split.
        wanted: points of this ledger.
    """
    removals = _removals(ledger)
    for point in wanted:
        layer = ledger.layers[max(point.layer, 0)].name
        removed = _by_layer(ledger, removals[: point.removed])
        yield point, scorer.evaluate(removed, layer=layer)


def _removals(ledger: Ledger) -> list[Removed]:
    return [entry for entry in ledger.entries if isinstance(entry, Removed)]


def _by_layer(ledger: Ledger, removals: list[Removed]) -> Mapping[str, list[int]]:
    removed: dict[str, list[int]] = {}
    for entry in removals:
        removed.setdefault(ledger.layers[entry.layer].name, []).append(entry.node)
    return removed
