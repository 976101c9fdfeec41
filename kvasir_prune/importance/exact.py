"""The exact scorer: the losses of the reference scorer, without what cannot have changed.

For a node of layer m only what follows m changes, so the prefix is run once per layer. The next
linear layer's pre-activation is corrected by the node's own contribution, and only images in which
the node's output is not zero are run through the rest, from which the nodes removed in finished
layers are cut physically. Nothing is approximated: what is left out is left out because it is
known.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from kvasir_prune import backend
from kvasir_prune.errors import DeviceMemoryError
from kvasir_prune.importance.evaluation import Candidate, StretchEvaluation
from kvasir_prune.importance.image_losses import ImageLosses
from kvasir_prune.importance.prefix import Prefix, Prefixes
from kvasir_prune.importance.preparation import Preparation
from kvasir_prune.importance.scorer import NO_LIMITS, Nodes, Scorer, check_candidates, finite
from kvasir_prune.importance.scoring_set import ScoringSet
from kvasir_prune.importance.sizing import Sizing
from kvasir_prune.importance.work import Work
from kvasir_prune.models.chain import Chain
from kvasir_prune.types import Limits, LossAccuracy, Scored

MOST_HALVINGS = 8


class ExactScorer(Scorer):
    """Scores candidates in blocks of fixed, padded shapes.

    A node's loss is a function of the network, the scoring set and the order of the removals in
    its layer: not of the other nodes of its block, nor of what was asked before.

    Args:
        chain: the network.
        scoring_set: the images that judge the nodes.
        batch_size: images per step of a prefix, at most.
        memory_budget_gib: a layer's activations are kept up to this size; above it the images are
            taken in stretches, and the prefix is run again for every block of candidates.
        prefixes: makes what runs the network up to a layer's reader.

    Attributes:
        work: what has been done so far, counted from shapes.
    """

    def __init__(
        self,
        chain: Chain,
        scoring_set: ScoringSet,
        *,
        batch_size: int,
        memory_budget_gib: float,
        prefixes: Prefixes = Prefix,
    ) -> None:
        self.work = Work()
        self._chain = chain
        self._set = scoring_set
        self._batch_size = batch_size
        self._sizing = Sizing(
            chain, len(scoring_set), batch_size=batch_size, budget_bytes=memory_budget_gib * 2**30
        )
        self._preparation = Preparation(
            chain, scoring_set, self._sizing, self.work, prefixes=prefixes
        )

    def halvings(self, layer: str) -> int:
        """Return how often the layer's steps were halved because memory did not suffice."""
        return self._sizing.halvings(layer)

    def halve(self, layer: str, times: int) -> None:
        """Work on a layer in steps halved at least so often; what was kept is let go."""
        if times > self.halvings(layer):
            self._sizing.halve(layer, times)
            self._preparation.forget(layer)

    def block_width(self, layer: str) -> int:
        """Return 1 where the suffix of one candidate keeps the processor busy, else more."""
        return self._sizing.of(layer).block_width

    def evaluate(self, removed: Nodes, *, layer: str | None = None) -> LossAccuracy:
        """Return loss and accuracy of the network without the removed nodes.

        They are those with which candidates of the layer (None: the last one) are compared.
        """
        losses, _ = self._run(layer or self._chain.hidden[-1].name, removed, (), NO_LIMITS)
        return self._of_network(losses)

    def evaluate_unordered(self, removed: Nodes) -> LossAccuracy:
        """Return loss and accuracy without nodes that were removed in no order."""
        last = self._chain.hidden[-1].name
        in_order = {layer: sorted(nodes) for layer, nodes in removed.items()}
        losses, _ = self._run(last, in_order, (), NO_LIMITS, in_one=True)
        return self._of_network(losses)

    def score(
        self,
        layer: str,
        removed: Nodes,
        nodes: Sequence[int],
        *,
        limits: Limits = NO_LIMITS,
    ) -> tuple[Scored, ...]:
        """Return loss and accuracy without the removed nodes and one candidate, for each."""
        check_candidates(removed.get(layer, ()), nodes)
        _, candidates = self._run(layer, removed, nodes, limits)
        return tuple(self._answer(layer, candidate) for candidate in candidates)

    def _of_network(self, losses: ImageLosses) -> LossAccuracy:
        where, size = "the whole network", self._batch_size
        return finite(losses.mean(), losses.losses, where=where, batch_size=size)

    def _run(
        self,
        layer: str,
        removed: Nodes,
        nodes: Sequence[int],
        limits: Limits,
        *,
        in_one: bool = False,
    ) -> tuple[ImageLosses, Sequence[Candidate]]:
        """Evaluate candidates, in smaller and smaller steps until memory suffices.

        Args:
            layer: theirs.
            removed: as in `score`.
            nodes: the candidates.
            limits: what need not be known.
            in_one: the layer's removed nodes go at once, not one after the other.
        """
        while True:
            try:
                with backend.errors_named(f"scoring of layer {layer}"):
                    return self._run_once(layer, removed, nodes, limits, in_one=in_one)
            except DeviceMemoryError:
                if self.halvings(layer) == MOST_HALVINGS:
                    raise
            self.halve(layer, self.halvings(layer) + 1)

    def _run_once(
        self, layer: str, removed: Nodes, nodes: Sequence[int], limits: Limits, *, in_one: bool
    ) -> tuple[ImageLosses, Sequence[Candidate]]:
        """Return the losses with all candidates in place, and the candidates as evaluated."""
        prepared = self._preparation.of(layer, removed)
        images, gone, count = len(self._set), tuple(removed.get(layer, ())), 0
        base = ImageLosses.empty(images, np.dtype(self._chain.dtype))
        candidates = [Candidate(node) for node in nodes]
        for stretch, cache in prepared.stretches():
            (cache.jump_to if in_one else cache.move_to)(gone)
            if cache.images < images:
                limits = Limits(give_up_above=limits.give_up_above)
            count = StretchEvaluation(cache, stretch, images, limits).run(candidates)
            base.of(stretch).take_from(cache.base)
        return base, candidates[:count]

    def _answer(self, layer: str, candidate: Candidate) -> Scored:
        self.work.evaluations += 1
        value = candidate.mean or LossAccuracy(candidate.certain / len(self._set), math.nan)
        losses = None if candidate.losses is None else candidate.losses.losses
        where = f"node {candidate.node} of layer {layer}"
        finite(value, losses, where=where, batch_size=self._batch_size)
        self.work.abandoned += candidate.abandoned
        return Scored(candidate.node, value.loss, value.accuracy, candidate.abandoned)
