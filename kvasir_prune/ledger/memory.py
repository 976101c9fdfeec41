"""A ledger that lives as long as its process: for experiments, and the oracle of the tests."""

from __future__ import annotations

from collections.abc import Iterable

from kvasir_prune.ledger.state import State, fold, initial
from kvasir_prune.types import Entry, LayerSize, LossAccuracy, Scored


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
        self._entries: list[Entry] = []
        self.state: State = initial(layers, baseline)
        self.record(entries)

    @property
    def entries(self) -> tuple[Entry, ...]:
        """All events, then the scores since the last one."""
        return tuple(self._entries)

    def record(self, entries: Iterable[Entry]) -> None:
        """Append entries; an event makes the scores before it obsolete."""
        for entry in entries:
            if not isinstance(entry, Scored):
                while self._entries and isinstance(self._entries[-1], Scored):
                    self._entries.pop()
            self._entries.append(entry)
            self.state = fold(self.state, (entry,))

    def commit(self) -> None:
        """Do nothing: memory is as durable as it gets here."""
