"""Evaluating candidates on the images of one stretch of the scoring set."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kvasir_prune.importance.image_losses import ImageLosses
from kvasir_prune.importance.layer_cache import LayerCache
from kvasir_prune.importance.packing import Part, Piece
from kvasir_prune.types import Limits, LossAccuracy

FIRST_SHARE = 8
"""Of a candidate's images, the eighth with the largest losses goes first where the smallest loss is
sought; then as many again, and so on."""
CERTAINLY = 1e-9
"""How far (nats) a partial mean must be beyond the limit: far more than rounding can do."""


@dataclass
class Candidate:
    """A node under evaluation.

    Attributes:
        node: its index.
        losses: of the whole scoring set without it, as far as they are known; None before the
            beginning.
        mean: of them, once all are known.
        certain: sum of the losses (nats) that are final, where it may be given up.
        abandoned: whether that sum has passed the limit.
        rows: images of the stretch in which its output is not zero, and
        done: how many of them are evaluated.
        settled: whether nothing more needs to be known in the stretch.
    """

    node: int
    losses: ImageLosses | None = None
    mean: LossAccuracy | None = None
    certain: float = 0.0
    abandoned: bool = False
    rows: NDArray[np.intp] = field(default_factory=lambda: np.zeros(0, np.intp))
    done: int = 0
    settled: bool = False


class StretchEvaluation:
    """Runs pairs of candidate and image through a layer's steps, as far as limits ask for.

    Before a Dense reader, parts of several candidates share a step. A candidate begins with images
    whose losses are large. If they do not decide it, more follow at once: candidates are settled
    nearly in order, and little is computed behind one that is enough.

    Args:
        cache: of the stretch, where the removed nodes are removed.
        stretch: place of its images in the scoring set.
        images: of the scoring set.
        limits: what need not be known; all but `give_up_above` only where the stretch is all.
    """

    def __init__(self, cache: LayerCache, stretch: slice, images: int, limits: Limits) -> None:
        self._cache = cache
        self._stretch = stretch
        self._images = images
        self._limits = limits
        self._give_up_above = limits.give_up_above
        # Where those behind a candidate may turn out superfluous, giving up early in shared steps
        # cost more than it saved: more of them are begun before it is settled.
        shares_steps = cache.program.shape.segments > 1
        self._gives_up = limits.give_up_above < math.inf and (
            limits.only_smallest or not shares_steps
        )
        self._base_sum: float | None = None
        self._open: dict[int, Candidate] = {}
        self._undecided: deque[Candidate] = deque()

    def run(self, candidates: Sequence[Candidate]) -> int:
        """Evaluate candidates, in order.

        Returns:
            How many of them are settled, the first one that is enough being the last.
        """
        for candidate in candidates:
            candidate.settled = candidate.abandoned
        count = 0
        for pieces, losses, correct in self._cache.run(self._parts(candidates)):
            for piece in pieces:
                self._take(piece, losses, correct)
            count, is_enough = self._settled(candidates, count)
            if is_enough:
                return count
        return self._settled(candidates, count)[0]

    def _settled(self, candidates: Sequence[Candidate], count: int) -> tuple[int, bool]:
        """Return how many candidates from the first on are settled, and whether one is enough."""
        while count < len(candidates) and candidates[count].settled:
            count += 1
            mean = candidates[count - 1].mean
            if mean is not None and mean.loss <= self._limits.enough_at:
                return count, True
        return count, False

    def _parts(self, candidates: Sequence[Candidate]) -> Iterator[Part | None]:
        """Yield what is to be evaluated next; None while that depends on the step at hand."""
        waiting = deque(one for one in candidates if not one.settled)
        while waiting or self._open:
            if self._undecided:
                yield self._next_part(self._undecided.popleft())
            elif waiting:
                candidate = self._begin(waiting.popleft())
                if self._cache.dominates(candidate.node):
                    self._take_whole(candidate)
                else:
                    yield self._next_part(candidate)
            else:
                yield None

    def _begin(self, candidate: Candidate) -> Candidate:
        candidate.rows, candidate.done = self._cache.rows(candidate.node), 0
        self._open[candidate.node] = candidate
        return candidate

    def _next_part(self, candidate: Candidate) -> Part:
        """Return the images to look at before anything is decided: all, if nothing can be."""
        rows, shape = candidate.rows[candidate.done :], self._cache.program.shape
        if not self._gives_up:
            return Part(candidate.node, rows)
        if shape.segments == 1:
            return Part(candidate.node, rows[: shape.images])
        first = -(-len(rows) // (FIRST_SHARE * shape.images)) * shape.images
        return Part(candidate.node, rows[: candidate.done or first])

    def _take_whole(self, candidate: Candidate) -> None:
        """Evaluate a candidate that cannot be subtracted, on all images of the stretch."""
        found = self._cache.without(candidate.node)
        losses = candidate.losses
        if losses is None:
            losses = ImageLosses.empty(self._images, found.losses.dtype)
        losses.of(self._stretch).take_from(found)
        candidate.losses, candidate.done = losses, len(candidate.rows)
        candidate.certain += found.sum()
        self._decide(candidate, losses)

    def _take(self, piece: Piece, losses: NDArray[Any], correct: NDArray[np.bool_]) -> None:
        """Put what a step gave where it belongs."""
        rows, here, candidate = piece.images, piece.slots, self._open[piece.part.node]
        if candidate.losses is None:
            candidate.losses = ImageLosses.empty(self._images, losses.dtype)
        own = candidate.losses.of(self._stretch)
        if candidate.done == 0:
            own.take_from(self._cache.base)
        own.put(rows, losses[here], correct[here])
        if self._gives_up:
            candidate.certain += self._certain_of(candidate, losses[here])
        candidate.done += len(rows)
        if piece.rows.stop == len(piece.part.rows):
            self._decide(candidate, candidate.losses)

    def _certain_of(self, candidate: Candidate, losses: NDArray[Any]) -> float:
        """Return the sum of some losses, and for a start of those that it does not change."""
        found = float(losses.sum(dtype=np.float64))
        if candidate.done == 0:
            base = self._cache.base
            if self._base_sum is None:
                self._base_sum = base.sum()
            found += self._base_sum - base.sum(candidate.rows)
        return found

    def _decide(self, candidate: Candidate, losses: ImageLosses) -> None:
        is_whole = candidate.done == len(candidate.rows)
        # A sum that is no number is not above the limit: it goes on to the end, and is named there.
        bound = candidate.certain / self._images
        if not is_whole and not bound > self._give_up_above + CERTAINLY:
            self._undecided.append(candidate)
            return
        candidate.abandoned = not is_whole
        if is_whole and self._stretch.stop == self._images:
            candidate.mean = losses.mean()
            if self._limits.only_smallest:
                self._give_up_above = min(self._give_up_above, candidate.mean.loss)
        candidate.settled = True
        del self._open[candidate.node]
