"""Cutting removed nodes out of the weights: a smaller model that plain Keras loads."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from kvasir_prune.errors import ModelError
from kvasir_prune.models.chain import Chain
from kvasir_prune.models.forward import Weights, weights_of

Array = NDArray[Any]
Removal = Mapping[str, Collection[int]]
"""Layer name -> nodes."""


def cut(chain: Chain, removed: Removal) -> keras.Model:
    """Return a new model without the removed nodes; its outputs equal the masked network's.

    Args:
        chain: the network; it is not changed.
        removed: layer name -> nodes.

    Raises:
        ModelError: an unknown layer or node, or nothing would be left of a layer.
    """
    kept = _all_kept(chain, removed)

    def resized(layer: keras.layers.Layer) -> keras.layers.Layer:
        settings = layer.get_config()
        if layer.name in kept:
            key = "units" if isinstance(layer, keras.layers.Dense) else "filters"
            settings[key] = len(kept[layer.name])
        return type(layer).from_config(settings)

    model = keras.models.clone_model(chain.model, clone_function=resized)
    arrays = cut_weights(chain, weights_of(chain), removed)
    for layer, own in zip(chain.layers, arrays, strict=True):
        copy = model.get_layer(layer.name)
        copy.set_weights(list(own))
        if isinstance(copy, keras.layers.Normalization):
            # It computes with copies of its weights.
            copy.finalize_state()
    return model


def cut_weights(chain: Chain, weights: Weights, removed: Removal) -> Weights:
    """Return the weights of the whole chain without what belongs to removed nodes.

    A node takes its filter or unit, its place in batch normalisations behind it, and the weights
    with which the next linear layer reads it (through Flatten: one for each spatial position).

    Raises:
        ModelError: an unknown layer or node, or nothing would be left of a layer.
    """
    kept = {name: nodes for name, nodes in _all_kept(chain, removed).items() if removed.get(name)}
    return tuple(
        _sliced(chain, kept, place, arrays) if arrays else arrays
        for place, arrays in enumerate(weights)
    )


def _all_kept(chain: Chain, removed: Removal) -> dict[str, NDArray[np.intp]]:
    for name in removed:
        chain.find(name)
    return {layer.name: _kept(layer.name, layer.nodes, removed) for layer in chain.hidden}


def _kept(name: str, nodes: int, removed: Removal) -> NDArray[np.intp]:
    gone = sorted(set(removed.get(name, ())))
    if gone and not 0 <= gone[0] <= gone[-1] < nodes:
        raise ModelError(
            f'The layer "{name}" has no such node.', got=gone[-1], expected=f"0 to {nodes - 1}"
        )
    if len(gone) == nodes:
        raise ModelError(f'Nothing would be left of the layer "{name}".')
    return np.setdiff1d(np.arange(nodes), gone)


def _sliced(
    chain: Chain, kept: Mapping[str, NDArray[np.intp]], place: int, arrays: tuple[Array, ...]
) -> tuple[Array, ...]:
    """Return the weights of the layer at `place` without what belongs to removed nodes."""
    changed = [hidden for hidden in chain.hidden if hidden.name in kept]
    for hidden in (h for h in changed if h.producer <= place < h.consumer):
        arrays = tuple(_select(array, hidden.nodes, kept[hidden.name]) for array in arrays)
    for hidden in (h for h in changed if h.consumer == place):
        kernel, *others = arrays
        by_channel = kernel.reshape(
            *kernel.shape[:-2], hidden.positions, hidden.nodes, kernel.shape[-1]
        )
        left = by_channel[..., kept[hidden.name], :]
        arrays = (left.reshape(*kernel.shape[:-2], -1, kernel.shape[-1]), *others)
    return arrays


def _select(array: Array, nodes: int, kept: NDArray[np.intp]) -> Array:
    """Keep channels on the last axis, which behind a Flatten holds them once per position."""
    by_channel = array.reshape(*array.shape[:-1], -1, nodes)
    return by_channel[..., kept].reshape(*array.shape[:-1], -1)
