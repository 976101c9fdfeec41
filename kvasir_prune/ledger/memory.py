"""A ledger that lives as long as its process: for experiments, and the oracle of the tests."""

from __future__ import annotations

from collections.abc import Iterable

from kvasir_prune.ledger.state import State, fold, initial
from kvasir_prune.types import Entry, LayerSize, LossAccuracy, Scored


class MemoryLedger:
    """Keeps the events in a list; the scores since the last of them are part of the state."""

    def __init__(
        self,
        layers: tuple[LayerSize, ...],
        baseline: LossAccuracy,
        entries: Iterable[Entry] = (),
    ) -> None:
        self.layers = layers
        self.baseline = baseline
        self._events: list[Entry] = []
        self._recorded: tuple[int, State] = (0, initial(layers, baseline))
        self.record(entries)

    @property
    def state(self) -> State:
        """The fold over `entries`."""
        return self._recorded[1]

    @property
    def entries(self) -> tuple[Entry, ...]:
        """All events, then the scores since the last that made those before it obsolete."""
        events, scores = self.recorded()
        return (*events, *scores)

    def recorded(self) -> tuple[list[Entry], tuple[Scored, ...]]:
        """Return the events, and the scores since the last of them."""
        count, state = self._recorded
        return self._events[:count], state.scores

    def record(self, entries: Iterable[Entry]) -> None:
        """Append entries, all or none: a signal may raise an exception at any place in here."""
        fresh = tuple(entries)
        count, state = self._recorded
        self._events[count:] = [entry for entry in fresh if not isinstance(entry, Scored)]
        self._recorded = (len(self._events), fold(state, fresh))

    def commit(self) -> None:
        """Do nothing: memory is as durable as it gets here."""
