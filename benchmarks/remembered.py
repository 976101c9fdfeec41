"""A reference run of hours that may be stopped and taken up again: its answers are written down."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kvasir_prune.importance.scorer import NO_LIMITS, Nodes, Scorer
from kvasir_prune.types import Limits, LossAccuracy, Scored


class Remembered(Scorer):
    """A `Scorer` that asks another one only what it has not answered before.

    Every answer is a line of JSON, written before it is given; a line that a killed process left
    half written is asked again.

    Args:
        scorer: answers.
        path: of the answers; they hold for one network and one set of images only.

    Attributes:
        taken_over: answers that came from the file.
    """

    def __init__(self, scorer: Scorer, path: Path) -> None:
        self._scorer = scorer
        self._path = path
        self._known = _read(path)
        self.taken_over = 0

    def block_width(self, layer: str) -> int:
        """Return what the scorer returns."""
        return self._scorer.block_width(layer)

    def evaluate(self, removed: Nodes, *, layer: str | None = None) -> LossAccuracy:
        """Return loss and accuracy of the network without the removed nodes."""
        key = _key(removed)
        if key in self._known:
            return LossAccuracy(*self._take(key))
        found = self._scorer.evaluate(removed)
        self._write(key, found.loss, found.accuracy)
        return found

    def score(
        self,
        layer: str,
        removed: Nodes,
        nodes: Sequence[int],
        *,
        limits: Limits = NO_LIMITS,
    ) -> tuple[Scored, ...]:
        """Return loss and accuracy without the removed nodes and one candidate, for each."""
        return tuple(self._score(layer, removed, node) for node in nodes)

    def _score(self, layer: str, removed: Nodes, node: int) -> Scored:
        key = _key({**removed, layer: (*removed.get(layer, ()), node)})
        if key not in self._known:
            (found,) = self._scorer.score(layer, removed, [node])
            self._write(key, found.loss, found.accuracy)
            return found
        return Scored(node, *self._take(key))

    def _take(self, key: str) -> tuple[float, float]:
        self.taken_over += 1
        return self._known[key]

    def _write(self, key: str, loss: float, accuracy: float) -> None:
        with self._path.open("a") as file:
            file.write(json.dumps([key, loss, accuracy]) + "\n")


def _key(removed: Nodes) -> str:
    return json.dumps({name: sorted(nodes) for name, nodes in sorted(removed.items()) if nodes})


def _read(path: Path) -> dict[str, tuple[float, float]]:
    known: dict[str, tuple[float, float]] = {}
    if not path.exists():
        return known
    whole, _, _ = path.read_bytes().rpartition(b"\n")
    path.write_bytes(whole + b"\n" if whole else b"")
    for line in whole.splitlines():
        entry: list[Any] = json.loads(line)
        known[entry[0]] = (entry[1], entry[2])
    return known
