"""A ledger that lives as long as its process: for experiments, and the oracle of the tests."""

from __future__ import annotations

from collections.abc import Iterable

from kvasir_prune.ledger.state import State, fold, initial
from kvasir_prune.types import Entry, Halved, LayerSize, LossAccuracy, Scored


class MemoryLedger:
    """Keeps the entries in a list."""

    def __init__(
        self,
        layers: tuple[LayerSize, ...],
        baseline: LossAccuracy,
        entries: Iterable[Entry] = (),
    ) -> None:
        self.layers = layers
        self.baseline = baseline
        self._events: list[Entry] = []
        self._scores: list[Scored] = []
        self.state: State = initial(layers, baseline)
        self.record(entries)

    @property
    def entries(self) -> tuple[Entry, ...]:
        """All events, then the scores since the last that made those before it obsolete."""
        return (*self._events, *self._scores)

    def record(self, entries: Iterable[Entry]) -> None:
        """Append entries; an event makes the scores before it obsolete, unless it is a halving."""
        for entry in entries:
            if isinstance(entry, Scored):
                self._scores.append(entry)
            else:
                self._events.append(entry)
                if not isinstance(entry, Halved):
                    self._scores.clear()
            self.state = fold(self.state, (entry,))

    def commit(self) -> None:
        """Do nothing: memory is as durable as it gets here."""
