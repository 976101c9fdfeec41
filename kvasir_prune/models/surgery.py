"""Cutting removed nodes out of the weights: a smaller model that plain Keras loads."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from kvasir_prune.errors import ModelError
from kvasir_prune.models.chain import Chain


def cut(chain: Chain, removed: Mapping[str, Collection[int]]) -> keras.Model:
    """Return a new model without the removed nodes; its outputs equal the masked network's.

    A node takes its filter or unit, its place in batch normalisations behind it, and the weights
    with which the next linear layer reads it (through Flatten: one for each spatial position).

    Args:
        chain: the network; it is not changed.
        removed: layer name -> nodes.

    Raises:
        ModelError: an unknown layer or node, or nothing would be left of a layer.
    """
    kept = {layer.name: _kept(layer.name, layer.nodes, removed) for layer in chain.hidden}
    for name in removed:
        chain.find(name)

    def resized(layer: keras.layers.Layer) -> keras.layers.Layer:
        settings = layer.get_config()
        if layer.name in kept:
            key = "units" if isinstance(layer, keras.layers.Dense) else "filters"
            settings[key] = len(kept[layer.name])
        return type(layer).from_config(settings)

    model = keras.models.clone_model(chain.model, clone_function=resized)
    for layer in chain.model.layers:
        if layer.get_weights():
            arrays = _sliced(chain, kept, layer)
            model.get_layer(layer.name).set_weights(arrays)
    return model


def _kept(name: str, nodes: int, removed: Mapping[str, Collection[int]]) -> NDArray[np.intp]:
    gone = sorted(set(removed.get(name, ())))
    if gone and not 0 <= gone[0] <= gone[-1] < nodes:
        raise ModelError(
            f'The layer "{name}" has no such node.', got=gone[-1], expected=f"0 to {nodes - 1}"
        )
    if len(gone) == nodes:
        raise ModelError(f'Nothing would be left of the layer "{name}".')
    return np.setdiff1d(np.arange(nodes), gone)


def _sliced(
    chain: Chain, kept: Mapping[str, NDArray[np.intp]], layer: keras.layers.Layer
) -> list[NDArray[Any]]:
    """Return the layer's weights without what belongs to removed nodes."""
    place = next(p for p, other in enumerate(chain.layers) if other.name == layer.name)
    arrays = [np.asarray(array) for array in layer.get_weights()]
    inside = [h for h in chain.hidden if h.producer <= place < h.consumer]
    for hidden in inside:
        arrays = [_select(array, hidden.nodes, kept[hidden.name]) for array in arrays]
    reads = [h for h in chain.hidden if h.consumer == place]
    for hidden in reads:
        kernel = arrays[0]
        by_channel = kernel.reshape(
            *kernel.shape[:-2], hidden.positions, hidden.nodes, kernel.shape[-1]
        )
        left = by_channel[..., kept[hidden.name], :]
        arrays[0] = left.reshape(*kernel.shape[:-2], -1, kernel.shape[-1])
    return arrays


def _select(array: NDArray[Any], nodes: int, kept: NDArray[np.intp]) -> NDArray[Any]:
    """Keep channels on the last axis, which behind a Flatten holds them once per position."""
    by_channel = array.reshape(*array.shape[:-1], -1, nodes)
    return by_channel[..., kept].reshape(*array.shape[:-1], -1)
