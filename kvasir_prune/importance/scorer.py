"""The seam between what wants to know a node's loss and what computes it."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from kvasir_prune.errors import NumericalError
from kvasir_prune.types import Limits, LossAccuracy, Scored

Nodes = Mapping[str, Collection[int]]
NO_LIMITS = Limits()


class Scorer(Protocol):
    """Measures networks without some of their nodes, on one set of images."""

    def halvings(self, layer: str) -> int:
        """Return how often the layer's steps were halved because memory did not suffice."""
        return 0

    def halve(self, layer: str, times: int) -> None:
        """Work on a layer in steps halved at least so often, as the run did before."""
        return

    def block_width(self, layer: str) -> int:
        """Return how many candidates of the layer one call of `score` takes best."""

    def evaluate(self, removed: Nodes, *, layer: str | None = None) -> LossAccuracy:
        """Return loss and accuracy of the network without the removed nodes.

        Args:
            removed: as in `score`.
            layer: whose candidates are being scored, if any are: what is kept of it may serve.

        Raises:
            NumericalError: the loss is NaN or infinite.
        """

    def evaluate_unordered(self, removed: Nodes) -> LossAccuracy:
        """Return loss and accuracy without nodes that were removed in no order.

        For draws that have nothing to do with each other: what was evaluated before need not be
        brought to where they are. The last bits may be others than those of `evaluate`.

        Args:
            removed: layer name -> nodes.

        Raises:
            NumericalError: the loss is NaN or infinite.
        """
        return self.evaluate(removed)

    def score(
        self,
        layer: str,
        removed: Nodes,
        nodes: Sequence[int],
        *,
        limits: Limits = NO_LIMITS,
    ) -> tuple[Scored, ...]:
        """Return loss and accuracy without the removed nodes and one candidate, for each.

        Answers are given for the first of the nodes: all, unless `limits` allow less; at least one.

        Args:
            layer: name of the candidates' layer.
            removed: layer name -> nodes that are removed already, in order of removal.
            nodes: the candidates, each once and none of them removed; the answers come in this
                order.
            limits: what need not be known.

        Raises:
            NumericalError: a loss is NaN or infinite.
            ValueError: a candidate is named twice, or is removed already.
        """


def check_candidates(removed: Collection[int], nodes: Sequence[int]) -> None:
    """Refuse candidates that are named twice or are among the removed nodes of their layer."""
    if len({*removed, *nodes}) < len(removed) + len(nodes):
        raise ValueError(f"candidates {list(nodes)}: twice, or among those removed: {removed}")


def finite(
    value: LossAccuracy, of_images: NDArray[Any] | None, *, where: str, batch_size: int = 1
) -> LossAccuracy:
    """Return the value if its loss is a number.

    Args:
        value: of the scoring set.
        of_images: (n,) losses or (n, classes) logits of its images, to name the first culprit.
        where: network, layer or node.
        batch_size: `importance.batch_size`, to name the culprit's batch.

    Raises:
        NumericalError: it is NaN or infinite.
    """
    if math.isfinite(value.loss):
        return value
    raise NumericalError(
        "A loss is not a finite number.",
        where=where + ("" if of_images is None else _culprits(of_images, batch_size)),
        got=value.loss,
        fix="the network is not usable as it is: check the training history (a lower "
        "training.optimizer.learning_rate usually helps) and the weights",
    )


def _culprits(of_images: NDArray[Any], batch_size: int) -> str:
    """Name the images whose values are NaN or infinite, and the batch of the first."""
    bad = np.flatnonzero(~np.isfinite(of_images.reshape(len(of_images), -1)).all(axis=1))
    count = f"; {bad.size} of {len(of_images)} images"
    if not bad.size:
        return count
    batch = f"in batch {bad[0] // batch_size + 1} of {batch_size} images"
    return f"{count}, image {bad[0]} of the scoring set first, {batch}"
