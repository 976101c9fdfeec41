"""Evaluating candidates on the images of one stretch of the scoring set."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kvasir_prune.importance.image_losses import ImageLosses
from kvasir_prune.importance.layer_cache import LayerCache
from kvasir_prune.importance.packing import packed, segments_for
from kvasir_prune.importance.prepared import PreparedLayer
from kvasir_prune.importance.work import Work

CERTAINLY = 1e-9
"""How far (nats) a partial sum must be beyond the limit: far more than rounding can do."""


@dataclass
class Candidate:
    """A node under evaluation: the losses without it, as far as they are known.

    Attributes:
        node: its index.
        losses: starts as the losses with the node, which images in which it is silent keep.
        certain: sum of the losses (nats) that are final, where someone wants to give up early.
        abandoned: whether that sum has passed the limit.
    """

    node: int
    losses: ImageLosses
    certain: float = 0.0
    abandoned: bool = False


class StretchEvaluation:
    """Runs pairs of candidate and image through a prepared layer's steps.

    Args:
        prepared: the layer.
        cache: of the stretch, where the removed nodes are removed.
        stretch: place of its images in the scoring set.
        work: is counted up.
    """

    def __init__(
        self,
        prepared: PreparedLayer,
        cache: LayerCache,
        stretch: slice,
        work: Work,
    ) -> None:
        self._prepared = prepared
        self._cache = cache
        self._stretch = stretch
        self._work = work

    def fill(self, base: ImageLosses, candidates: Sequence[Candidate]) -> None:
        """Compute the losses with all candidates in place, through the very steps of a candidate.

        Args:
            base: receives them.
            candidates: start from them.
        """
        everyone = np.arange(self._cache.images)
        own = base.of(self._stretch)
        self._run({0: everyone}, {0: own}, scale=0.0)
        for candidate in candidates:
            candidate.losses.of(self._stretch).take_from(own)

    def evaluate(self, candidates: Sequence[Candidate], limit: float) -> None:
        """Compute the losses of the images in which a candidate's output is not zero.

        Args:
            candidates: to evaluate.
            limit: sum of losses (nats) above which a candidate that is evaluated by itself is
                abandoned.
        """
        if self._prepared.program.shape.segments == 1:
            for candidate in candidates:
                if not candidate.abandoned:
                    self._evaluate_alone(candidate, limit)
            return
        rows_of = {c.node: np.flatnonzero(self._cache.active[c.node]) for c in candidates}
        self._run(rows_of, {c.node: c.losses.of(self._stretch) for c in candidates})

    def _evaluate_alone(self, candidate: Candidate, limit: float) -> None:
        """Evaluate one candidate, the images with the largest losses first.

        The order is kept without a limit too: with some kernels the last bits of an image's loss
        depend on its place in a step, and a node's loss must not depend on the limit.
        """
        own = candidate.losses.of(self._stretch)
        active = self._cache.active[candidate.node]
        rows = np.flatnonzero(active)
        rows = rows[np.argsort(-own.losses[rows], kind="stable")]
        candidate.certain += own.losses[~active].sum(dtype=np.float64)
        done = 0
        for losses, correct in self._steps({candidate.node: rows}):
            some = rows[done : done + len(losses)]
            own.put(some, losses, correct)
            done += len(some)
            self._count(len(some))
            candidate.certain += own.losses[some].sum(dtype=np.float64)
            if candidate.certain > limit:
                candidate.abandoned = True
                return

    def _run(
        self,
        rows_of: Mapping[int, NDArray[np.intp]],
        into: Mapping[int, ImageLosses],
        scale: float = 1.0,
    ) -> None:
        """Run pairs of node and image, and put what comes out where it belongs."""
        parts = list(self._steps(rows_of, scale))
        if not parts:
            return
        losses, correct = (np.concatenate(values) for values in zip(*parts, strict=True))
        shape, at = self._prepared.program.shape, 0
        for node, rows in rows_of.items():
            into[node].put(rows, losses[at:], correct[at:])
            at += segments_for(len(rows), shape) * shape.images
        self._count(sum(map(len, rows_of.values())))

    def _steps(
        self, rows_of: Mapping[int, NDArray[np.intp]], scale: float = 1.0
    ) -> Iterator[tuple[NDArray[Any], NDArray[np.bool_]]]:
        program, cache = self._prepared.program, self._cache
        factor = np.asarray(scale, program.dtype)
        kept = (cache.outputs, cache.z)
        for step in packed(rows_of, program.shape):
            losses, correct = program.score(kept, self._prepared.suffix, cache.labels, step, factor)
            yield np.asarray(losses), np.asarray(correct)

    def _count(self, images: int) -> None:
        self._work.images += images
        self._work.multiply_adds += images * self._prepared.pair_work
