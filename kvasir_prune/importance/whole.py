"""Loss and accuracy of the whole network, as the start of every pruning job needs them."""

from __future__ import annotations

import numpy as np

from kvasir_prune.evaluation.metrics import loss_accuracy
from kvasir_prune.importance.scorer import Nodes, finite
from kvasir_prune.importance.scoring_set import ScoringSet
from kvasir_prune.models.chain import Chain
from kvasir_prune.models.forward import Weights, mask
from kvasir_prune.models.section import Section
from kvasir_prune.types import LossAccuracy


class WholeNetwork:
    """The network from images to logits.

    Args:
        chain: the network.
        weights: of it.
        scoring_set: the images.
        batch_size: images per step, a fixed shape.
    """

    def __init__(
        self,
        chain: Chain,
        weights: Weights,
        scoring_set: ScoringSet,
        *,
        batch_size: int,
    ) -> None:
        self._chain = chain
        self._weights = weights
        self._set = scoring_set
        self._batch_size = batch_size
        self._section = Section(chain)

    def evaluate(self, removed: Nodes) -> LossAccuracy:
        """Return loss and accuracy without the removed nodes, which are masked."""
        loaded = self._section.load(mask(self._chain, self._weights, removed))
        steps = self._set.batches(self._batch_size)
        logits = np.concatenate(list(self._section.apply(loaded, steps)))
        value = loss_accuracy(logits, self._set.labels)
        return finite(value, logits, where="the whole network", batch_size=self._batch_size)
