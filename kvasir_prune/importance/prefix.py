"""Running a network up to a layer's reader, once for as many layers as memory allows.

Work goes from the last layer to the first, so what the layers before will need comes by on the
way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
from keras import ops
from numpy.typing import NDArray

from kvasir_prune import backend
from kvasir_prune.importance.scoring_set import ScoringSet
from kvasir_prune.models.chain import Chain, Hidden
from kvasir_prune.models.forward import run


@dataclass(frozen=True)
class LayerOutputs:
    """A layer's outputs as its reader sees them.

    Attributes:
        values: (nodes, n, ...), through Flatten (nodes, n, positions).
        active: (nodes, n), where any of a node's values is not zero.
    """

    values: NDArray[Any]
    active: NDArray[np.bool_]

    def of(self, stretch: slice) -> LayerOutputs:
        """Return a view of some images."""
        return LayerOutputs(self.values[:, stretch], self.active[:, stretch])


class Prefix:
    """The network up to the last of some layers' readers, compiled.

    A layer's outputs have the same bits whichever layers are asked for beside it.

    Args:
        chain: the network.
        layers: first to last.
    """

    def __init__(self, chain: Chain, layers: Sequence[Hidden]) -> None:
        self._chain = chain
        self.layers = tuple(layers)
        self._readers = [h.consumer for h in chain.hidden if h.consumer <= layers[-1].consumer]
        self._pieces = [
            backend.compiled_apart(partial(_piece, chain, start, stop))
            for start, stop in pairwise((0, *self._readers))
        ]
        self._by_node = {
            layer.consumer: backend.compiled_apart(partial(_by_node, layer)) for layer in layers
        }
        self._step = backend.compiled_around(self._outputs)

    def run(
        self, weights: Any, scoring_set: ScoringSet, stretch: slice, batch_size: int
    ) -> dict[str, LayerOutputs]:
        """Return the outputs of every layer on a stretch of the scoring set.

        Args:
            weights: of all layers before the last reader, on the device.
            scoring_set: the images.
            stretch: which of them.
            batch_size: images per step.
        """
        images = stretch.stop - stretch.start
        found: list[LayerOutputs] = []
        filled = 0
        for step, real in scoring_set.batches(batch_size, stretch):
            parts = [
                (np.asarray(values), np.asarray(active))
                for values, active in self._step(weights, step)
            ]
            found = found or [_empty(values, images) for values, _ in parts]
            here = slice(filled, filled + real)
            for layer, (values, active) in zip(found, parts, strict=True):
                layer.values[:, here], layer.active[:, here] = values[:, :real], active[:, :real]
            filled += real
        return {layer.name: out for layer, out in zip(self.layers, found, strict=True)}

    def _outputs(self, weights: Any, images: Any) -> list[tuple[Any, Any]]:
        found, values, start = [], images, 0
        for reader, piece in zip(self._readers, self._pieces, strict=True):
            values, start = piece(weights[start:reader], values), reader
            if reader in self._by_node:
                found.append(self._by_node[reader](values))
        return found


Prefixes = Callable[[Chain, Sequence[Hidden]], Prefix]
"""Makes a prefix for some layers of a chain."""


def _piece(chain: Chain, start: int, stop: int, weights: Any, values: Any) -> Any:
    return run(chain, (*((),) * start, *weights), values, start, stop)


def _by_node(layer: Hidden, values: Any) -> tuple[Any, Any]:
    """Bring the nodes to the front, and say where they are active."""
    if layer.positions > 1:
        values = ops.reshape(values, (-1, layer.positions, layer.nodes))
    axes = len(values.shape)
    values = ops.transpose(values, (axes - 1, *range(axes - 1)))
    active = ops.not_equal(values, 0.0)
    return values, ops.any(active, axis=tuple(range(2, axes))) if axes > 2 else active


def _empty(values: NDArray[Any], images: int) -> LayerOutputs:
    shape = (values.shape[0], images)
    return LayerOutputs(np.empty((*shape, *values.shape[2:]), values.dtype), np.empty(shape, bool))
