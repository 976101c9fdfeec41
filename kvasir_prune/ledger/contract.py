"""What every ledger promises; the memory and the HDF5 ledger pass one suite of tests."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from kvasir_prune.ledger.state import State
from kvasir_prune.types import Entry, LayerSize, LossAccuracy


class Ledger(Protocol):
    """The ordered record of a pruning job, written by one process.

    Entries recorded become durable at the next `commit`; `state` always includes them. Scores
    that precede a removal, an ignored node or a finished layer are forgotten with it: they have
    no consequence any more.
    """

    @property
    def layers(self) -> tuple[LayerSize, ...]:
        """The layers to prune, in order of work."""

    @property
    def baseline(self) -> LossAccuracy:
        """Loss and accuracy before the first removal, on the scoring set."""

    @property
    def entries(self) -> tuple[Entry, ...]:
        """All events in order, then the scores that none of them has made obsolete."""

    @property
    def state(self) -> State:
        """The fold over `entries`."""

    def record(self, entries: Iterable[Entry]) -> None:
        """Append entries."""

    def commit(self) -> None:
        """Make everything recorded so far durable."""
