"""What a strategy is: two pure functions over an immutable state. It knows no Keras and no file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from kvasir_prune.ledger.state import State
from kvasir_prune.types import Entry, Scored


class Strategy(Protocol):
    """Asks for scores and answers with decisions."""

    def next(self, state: State) -> tuple[int, ...]:
        """Return the nodes of the current layer to score next, in order.

        Only as many as the scorer likes need be scored before `decide` is asked. Empty when
        the layer can be decided without another score.
        """

    def give_up_above(self, state: State) -> float | None:
        """Return the loss above which it does not matter how large a candidate's is, if any."""

    def decide(self, state: State, scores: Sequence[Scored]) -> tuple[Entry, ...]:
        """Return what follows from `scores`, the losses of the first of the nodes asked for.

        A decision that makes the later scores obsolete leaves them out.
        """
