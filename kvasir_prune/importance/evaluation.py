"""Evaluating candidates on the images of one stretch of the scoring set."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kvasir_prune.importance.image_losses import ImageLosses
from kvasir_prune.importance.layer_cache import LayerCache
from kvasir_prune.importance.packing import Part, nobody, packed, segments_for
from kvasir_prune.importance.prepared import PreparedLayer
from kvasir_prune.importance.work import Work

Results = tuple[NDArray[Any], NDArray[np.bool_]]
"""Losses and correctness of a run of pairs, in their order, padding included."""


@dataclass
class Candidate:
    """A node under evaluation.

    Attributes:
        node: its index.
        losses: of the network without it, as far as they are known; None before the beginning.
        certain: sum of the losses (nats) that are final, where someone wants to give up early.
        abandoned: whether that sum has passed the limit.
    """

    node: int
    losses: ImageLosses | None = None
    certain: float = 0.0
    abandoned: bool = False


class StretchEvaluation:
    """Runs pairs of candidate and image through a prepared layer's steps.

    Args:
        prepared: the layer.
        cache: of the stretch, where the removed nodes are removed.
        stretch: place of its images in the scoring set.
        base: of the whole scoring set, the losses with all candidates in place.
        work: is counted up.
    """

    def __init__(
        self,
        prepared: PreparedLayer,
        cache: LayerCache,
        stretch: slice,
        base: ImageLosses,
        work: Work,
    ) -> None:
        self._prepared = prepared
        self._shape = prepared.program.shape
        self._cache = cache
        self._stretch = stretch
        self._all = base
        self._base = base.of(stretch)
        self._work = work

    def one_by_one(self, candidates: Sequence[Candidate], limit: float, *, fill: bool) -> None:
        """Evaluate candidates, each by itself, on the images in which its output is not zero.

        Args:
            candidates: to evaluate.
            limit: sum of losses (nats) above which a candidate is abandoned.
            fill: whether the base losses have yet to be computed, through the very steps of a
                candidate.
        """
        if fill:
            everyone = nobody(self._cache.images)
            for part, results in self._finished([everyone]):
                self._base.put(part.rows, *results)
        for candidate in candidates:
            if not candidate.abandoned:
                self._evaluate_alone(candidate, limit)

    def together(self, candidates: Sequence[Candidate], enough_at: float) -> None:
        """Evaluate candidates packed into common steps, in order, behind the base losses.

        The base losses are computed whether or not they are known, so that a candidate's place is
        the same in a run that was interrupted before this call and in one that was not.

        Args:
            candidates: to evaluate.
            enough_at: loss at or below which those behind a candidate are left.
        """
        own_parts = [Part(c.node, self._cache.rows(c.node)) for c in candidates]
        finished = self._finished([nobody(self._cache.images), *own_parts])
        everyone, results = next(finished)
        self._base.put(everyone.rows, *results)
        for candidate, (part, results) in zip(candidates, finished, strict=False):
            own = self._begun(candidate)
            own.put(part.rows, *results)
            if own.mean().loss <= enough_at:
                return

    def _evaluate_alone(self, candidate: Candidate, limit: float) -> None:
        """Evaluate one candidate, the images with the largest losses first.

        The order is kept without a limit too: with some kernels the last bits of an image's loss
        depend on its place in a step, and a node's loss must not depend on the limit.
        """
        own = self._begun(candidate)
        rows, active = self._cache.rows(candidate.node), self._cache.active[candidate.node]
        rows = rows[np.argsort(-own.losses[rows], kind="stable")]
        candidate.certain += own.losses[~active].sum(dtype=np.float64)
        done = 0
        for losses, correct in self._results([Part(candidate.node, rows)]):
            some = rows[done : done + len(losses)]
            own.put(some, losses, correct)
            done += len(some)
            self._count(len(some))
            candidate.certain += own.losses[some].sum(dtype=np.float64)
            if candidate.certain > limit:
                candidate.abandoned = True
                return

    def _begun(self, candidate: Candidate) -> ImageLosses:
        """Return the candidate's losses in the stretch, for a start those with it in place."""
        if candidate.losses is None:
            candidate.losses = ImageLosses.like(self._all)
        own = candidate.losses.of(self._stretch)
        own.take_from(self._base)
        return own

    def _finished(self, parts: Sequence[Part]) -> Iterator[tuple[Part, Results]]:
        """Yield every part with its results, as soon as the last of its steps is done."""
        ends = np.cumsum([segments_for(len(part.rows), self._shape) for part in parts])
        total = int(ends[-1]) * self._shape.images if len(ends) else 0
        losses, correct = np.empty(total, self._prepared.program.dtype), np.empty(total, bool)
        steps, known, at = self._results(parts), 0, 0
        for part, end in zip(parts, ends * self._shape.images, strict=True):
            while known < end:
                some = next(steps)
                until = min(known + len(some[0]), total)
                losses[known:until], correct[known:until] = (a[: until - known] for a in some)
                known = until
            self._count(len(part.rows))
            yield part, (losses[at:end], correct[at:end])
            at = end

    def _results(self, parts: Iterable[Part]) -> Iterator[Results]:
        program, cache = self._prepared.program, self._cache
        kept = (cache.outputs, cache.z)
        for step in packed(parts, self._shape):
            losses, correct = program.score(kept, self._prepared.suffix, cache.labels, tuple(step))
            yield np.asarray(losses), np.asarray(correct)

    def _count(self, images: int) -> None:
        self._work.images += images
        self._work.multiply_adds += images * self._prepared.pair_work
