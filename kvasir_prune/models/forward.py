"""Running a part of a chain with weights that are handed in, so that masks never touch a model."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from kvasir_prune.models.chain import Chain

Weights = tuple[tuple[NDArray[Any], ...], ...]
"""Per layer of a chain, its arrays in the order of `layer.weights`."""


def weights_of(chain: Chain) -> Weights:
    """Return copies of all weights of the chain, layer by layer."""
    by_name = {layer.name: layer for layer in chain.model.layers}
    return tuple(
        tuple(np.asarray(value) for value in by_name[layer.name].get_weights())
        for layer in chain.layers
    )


def digest_of(weights: Weights) -> str:
    """Return the SHA-256 over all arrays: shapes, dtypes and bits; 64 hexadecimal digits."""
    running = hashlib.sha256()
    for layer in weights:
        for array in layer:
            running.update(f"{array.shape}{array.dtype}".encode())
            running.update(np.ascontiguousarray(array).tobytes())
    return running.hexdigest()


def mask(chain: Chain, weights: Weights, removed: Mapping[str, Collection[int]]) -> Weights:
    """Return weights with which the removed nodes contribute nothing to whatever reads them.

    The reader's incoming weights from the node are zeroed. For ReLU without batch normalisation
    this is what the thesis does by zeroing the node's own incoming weights; unlike that it is
    removal for every activation and with batch normalisation in between.

    Args:
        chain: the network.
        weights: of the whole chain.
        removed: layer name -> nodes.
    """
    masked = list(weights)
    for name, nodes in removed.items():
        hidden = chain.find(name)
        kernel, *others = masked[hidden.consumer]
        kernel = kernel.copy()
        by_channel = kernel.reshape(
            *kernel.shape[:-2], hidden.positions, hidden.nodes, kernel.shape[-1]
        )
        by_channel[..., list(nodes), :] = 0.0
        masked[hidden.consumer] = (kernel, *others)
    return tuple(masked)


def run(chain: Chain, weights: Any, images: Any, start: int, stop: int) -> Any:
    """Apply the layers `start` to `stop` (exclusive) of a chain, at inference.

    Args:
        chain: the network.
        weights: per layer of the whole chain, arrays in the order of `layer.weights`.
        images: what the layer at `start` reads, batch first; uint8 images at 0.
        start: position of the first layer to run.
        stop: position after the last one.

    Returns:
        What the last of these layers gives: float32, (batch, ...).
    """
    values = keras.ops.cast(images, "float32") if start == 0 else images
    for layer, arrays in zip(chain.layers[start:stop], weights[start:stop], strict=True):
        trainable, other = _by_role(layer, arrays)
        values, _ = layer.stateless_call(trainable, other, values, **_at_inference(layer))
    return values


def _by_role(layer: keras.layers.Layer, arrays: Any) -> tuple[list[Any], list[Any]]:
    """Divide a layer's arrays as `stateless_call` wants them; random seeds keep their state."""
    value = dict(zip((id(variable) for variable in layer.weights), arrays, strict=True))
    trainable = [value[id(variable)] for variable in layer.trainable_variables]
    other = [value.get(id(v), v) for v in layer.non_trainable_variables]
    return trainable, other


def _at_inference(layer: keras.layers.Layer) -> dict[str, bool]:
    kinds = (keras.layers.BatchNormalization, keras.layers.Dropout)
    return {"training": False} if isinstance(layer, kinds) else {}
