"""What a strategy is: two pure functions over an immutable state. It knows no Keras and no file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from kvasir_prune.ledger.state import State
from kvasir_prune.types import Entry, Limits, Scored


@dataclass(frozen=True)
class Together:
    """A group of nodes of the current layer to score as one: all of them out.

    Its one `Scored` carries the last of them as its node.

    Attributes:
        nodes: the group, not empty, in order of removal.
    """

    nodes: tuple[int, ...]


class Strategy(Protocol):
    """Asks for scores and answers with decisions."""

    def next(self, state: State) -> tuple[int, ...] | Together:
        """Return the nodes of the current layer to score next, each by itself, or a group.

        Of the nodes, in order, only as many as the scorer likes need be scored before
        `decide` is asked. Empty when the layer can be decided without another score.
        """

    def limits(self, state: State) -> Limits:
        """Return what need not be known; nothing, unless a strategy says otherwise."""
        return Limits()

    def decide(self, state: State, scores: Sequence[Scored]) -> tuple[Entry, ...]:
        """Return what follows from `scores`, the losses of the first of the nodes asked for.

        A decision that makes the later scores obsolete leaves them out.
        """
