"""Running a network up to a layer's reader, once for as many layers as memory allows.

Work goes from the last layer to the first, so what the layers before will need comes by on the
way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
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

    Args:
        chain: the network.
        layers: first to last.
    """

    def __init__(self, chain: Chain, layers: Sequence[Hidden]) -> None:
        self._chain = chain
        self.layers = tuple(layers)
        self._step = backend.compiled(self._outputs)

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
        found, values, place = [], images, 0
        for layer in self.layers:
            values = run(self._chain, weights, values, place, layer.consumer)
            place = layer.consumer
            found.append(_by_node(values, layer))
        return found


def _by_node(values: Any, layer: Hidden) -> tuple[Any, Any]:
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
