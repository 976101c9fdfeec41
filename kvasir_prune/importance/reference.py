"""The reference scorer: literal and obviously right, the oracle of every faster one.

For a node, everything behind its layer is computed anew with the node's output set to zero. What
lies before cannot change and is computed once per layer.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kvasir_prune.evaluation.metrics import loss_accuracy
from kvasir_prune.importance.scorer import NO_LIMITS, Nodes, Scorer, check_candidates, finite
from kvasir_prune.importance.scoring_set import ScoringSet
from kvasir_prune.importance.whole import WholeNetwork
from kvasir_prune.models.chain import Chain, Hidden
from kvasir_prune.models.forward import Weights, mask, weights_of
from kvasir_prune.models.section import Section, batches
from kvasir_prune.types import Limits, LossAccuracy, Scored


@dataclass(frozen=True)
class _Prepared:
    """What scoring one layer needs, as long as no other layer loses a node."""

    hidden: Hidden
    elsewhere: Mapping[str, frozenset[int]]
    prefix: Section
    prefix_weights: Any
    suffix: Section
    suffix_weights: Any
    inputs: NDArray[Any] | None


class ReferenceScorer(Scorer):
    """Scores one node at a time.

    Args:
        chain: the network.
        scoring_set: the images that judge the nodes.
        batch_size: images per step, a fixed shape.
        memory_budget_gib: activations before the next linear layer are kept up to this size and
            recomputed step by step above it; the losses have the same bits either way.
    """

    def __init__(
        self,
        chain: Chain,
        scoring_set: ScoringSet,
        *,
        batch_size: int,
        memory_budget_gib: float,
    ) -> None:
        self._chain = chain
        self._weights = weights_of(chain)
        self._set = scoring_set
        self._batch_size = batch_size
        self._budget_bytes = memory_budget_gib * 2**30
        self._whole = WholeNetwork(chain, self._weights, scoring_set, batch_size=batch_size)
        self._prepared: _Prepared | None = None

    def block_width(self, layer: str) -> int:
        """Return 1: what is literal goes one by one."""
        return 1

    def evaluate(self, removed: Nodes, *, layer: str | None = None) -> LossAccuracy:
        """Return loss and accuracy of the network without the removed nodes."""
        return self._whole.evaluate(removed)

    def score(
        self,
        layer: str,
        removed: Nodes,
        nodes: Sequence[int],
        *,
        limits: Limits = NO_LIMITS,
    ) -> tuple[Scored, ...]:
        """Return loss and accuracy without the removed nodes and one candidate, for each.

        Goes through with all of them.
        """
        check_candidates(removed.get(layer, ()), nodes)
        prepared = self._prepare(layer, removed)
        gone = set(removed.get(layer, ()))
        return tuple(self._score(prepared, gone, node) for node in nodes)

    def _score(self, prepared: _Prepared, gone: set[int], node: int) -> Scored:
        hidden = prepared.hidden
        gate = np.ones(hidden.nodes, self._chain.dtype)
        gate[[*gone, node]] = 0.0
        outputs = prepared.suffix.apply(
            prepared.suffix_weights, self._steps(prepared), np.tile(gate, hidden.positions)
        )
        logits = np.concatenate(list(outputs))
        value = loss_accuracy(logits, self._set.labels)
        where = f"node {node} of layer {hidden.name}"
        finite(value, logits, where=where, batch_size=self._batch_size)
        return Scored(node, value.loss, value.accuracy)

    def _prepare(self, layer: str, removed: Nodes) -> _Prepared:
        elsewhere = {name: frozenset(nodes) for name, nodes in removed.items() if name != layer}
        last = self._prepared
        if last is not None and (last.hidden.name, last.elsewhere) == (layer, elsewhere):
            return last
        self._prepared = None
        hidden = self._chain.find(layer)
        weights: Weights = mask(self._chain, self._weights, elsewhere)
        prefix = Section(self._chain, 0, hidden.consumer)
        suffix = Section(self._chain, hidden.consumer)
        prefix_weights = prefix.load(weights)
        self._prepared = _Prepared(
            hidden,
            elsewhere,
            prefix,
            prefix_weights,
            suffix,
            suffix.load(weights),
            self._cached(prefix, prefix_weights),
        )
        return self._prepared

    def _cached(self, prefix: Section, weights: Any) -> NDArray[Any] | None:
        """Run the prefix over all images; None where its output is larger than the budget."""
        cache: NDArray[Any] | None = None
        filled = 0
        for part in prefix.apply(weights, self._set.batches(self._batch_size)):
            if cache is None:
                shape = (len(self._set), *part.shape[1:])
                if math.prod(shape) * part.itemsize > self._budget_bytes:
                    return None
                cache = np.empty(shape, part.dtype)
            cache[filled : filled + len(part)] = part
            filled += len(part)
        return cache

    def _steps(self, prepared: _Prepared) -> Iterator[tuple[NDArray[Any], int]]:
        """Give the input of the suffix, kept or recomputed, in steps of the fixed shape."""
        if prepared.inputs is not None:
            yield from batches(prepared.inputs, np.arange(len(self._set)), self._batch_size)
            return
        for part in prepared.prefix.apply(
            prepared.prefix_weights, self._set.batches(self._batch_size)
        ):
            yield from batches(part, np.arange(len(part)), self._batch_size)
