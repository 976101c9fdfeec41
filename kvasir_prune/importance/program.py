"""What the exact scorer computes for one layer; its step, compiled, has one fixed shape.

With h the layer's outputs as its reader (the next linear layer L) sees them, and z = L(h) the
reader's pre-activation, the network without node n continues from z - L(h e_n). Only what follows
the reader is computed for every candidate.
"""

from __future__ import annotations

from typing import Any

from keras import ops
from numpy.typing import NDArray

from kvasir_prune import backend
from kvasir_prune.importance.contribution import contribution
from kvasir_prune.importance.dominance import largest_contributions
from kvasir_prune.importance.sizes import StepShape
from kvasir_prune.models.chain import Chain, Hidden
from kvasir_prune.models.forward import activate, linear, run


class LayerProgram:
    """The steps for one layer of a chain.

    Args:
        chain: the network.
        hidden: the layer whose nodes are candidates.
        shape: of the steps over pairs of candidate and image.
        fused: whether a step is worth fusing, where the backend does not do it anyway.
    """

    def __init__(
        self, chain: Chain, hidden: Hidden, shape: StepShape, *, fused: bool = False
    ) -> None:
        self._chain = chain
        self.hidden = hidden
        self._reader = chain.layers[hidden.consumer]
        self.shape = shape
        self.dtype = chain.dtype
        self.patched = backend.compiled(self._patched)
        self.weighed = backend.compiled(self._weighed)
        self.score = backend.compiled(self._score, fused=fused)

    def contributions(self, outputs: NDArray[Any], kernel: NDArray[Any]) -> NDArray[Any]:
        """Return what each node contributes at most, as `largest_contributions` gives it."""
        return largest_contributions(self.hidden, self._reader, outputs, kernel)

    def preactivation(self, outputs: Any, reader: Any) -> Any:
        """Return z: (n, ...).

        Args:
            outputs: of the layer, (nodes, n, ...).
            reader: its arrays; the kernel may be masked.
        """
        axes = len(outputs.shape)
        values = ops.transpose(outputs, (*range(1, axes), 0))
        if self.hidden.positions > 1:
            values = ops.reshape(values, (-1, self.hidden.positions * self.hidden.nodes))
        return linear(self._reader, reader, values)

    def _patched(self, z: Any, outputs: Any, kernel: Any, nodes: Any) -> Any:
        """Return z without a node, from its outputs (1, n, ...)."""
        return z - contribution(self.hidden, self._reader, outputs, kernel, nodes)

    def _weighed(self, z: Any, outputs: Any, kernel: Any, nodes: Any) -> tuple[Any, Any]:
        """Return the largest absolute values of a node's contribution and of z without it.

        Arguments as for `patched`.
        """
        left = self._patched(z, outputs, kernel, nodes)
        return ops.max(ops.abs(z - left)), ops.max(ops.abs(left))

    def _without(self, kept: Any, kernel: Any, step: Any) -> Any:
        """Return the pre-activation without a node, for pairs of node and image.

        A scale of 1 takes the node away, 0 leaves z as it is, through the same operations.
        """
        (outputs, z), (nodes, rows, scales) = kept, step
        flat = ops.reshape(outputs, (-1, *outputs.shape[2:]))
        places = nodes[:, None] * int(outputs.shape[1]) + rows
        chosen = backend.take(flat, places)
        by_segment = ops.reshape(scales, (-1, *(1,) * (len(chosen.shape) - 1)))
        chosen = chosen * ops.cast(by_segment, chosen.dtype)
        own = backend.take(z, ops.reshape(rows, (-1,)))
        return own - contribution(self.hidden, self._reader, chosen, kernel, nodes)

    def _score(self, kept: Any, weights: Any, labels: Any, step: Any) -> tuple[Any, Any]:
        """Return each pair's cross-entropy and whether its prediction is right.

        Args:
            kept: the layer's outputs, (nodes, n, ...), and z, (n, ...).
            weights: of the reader and of all layers behind it.
            labels: (n,) int32.
            step: a `packing.Step` as a plain tuple.

        Returns:
            Two arrays of shape (segments * images,).
        """
        values = activate(self._reader, self._without(kept, weights[0][0], step))
        first = self.hidden.consumer + 1
        whole = (*((),) * first, *weights[1:])
        logits = run(self._chain, whole, values, first, len(self._chain.layers))
        return _cross_entropies(logits, backend.take(labels, ops.reshape(step[1], (-1,))))


def _cross_entropies(logits: Any, labels: Any) -> tuple[Any, Any]:
    """Return each row's loss, and whether the first of its largest logits is the wanted one.

    Rows become columns: sums over a few classes are vectorised along the images then.
    """
    rows, classes = logits.shape
    columns = ops.transpose(logits)
    shifted = columns - ops.max(columns, axis=0)
    own = backend.take(ops.reshape(shifted, (-1,)), labels * rows + ops.arange(rows, dtype="int32"))
    each = ops.arange(classes, dtype="int32")[:, None]
    first = ops.min(ops.where(ops.equal(shifted, 0.0), each, classes), axis=0)
    return ops.log(ops.sum(ops.exp(shifted), axis=0)) - own, ops.equal(first, labels)
