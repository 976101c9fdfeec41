"""Running a part of a chain with weights that are handed in, so that masks never touch a model."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from inspect import signature
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from kvasir_prune import backend
from kvasir_prune.models.chain import Chain
from kvasir_prune.models.work import is_linear

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
        What the last of these layers gives: (batch, ...), float32 or the chain's own type.
    """
    values = keras.ops.cast(images, chain.input_dtype) if start == 0 else images
    for layer, arrays in zip(chain.layers[start:stop], weights[start:stop], strict=True):
        values = _apply(layer, arrays, values)
    return values


def linear(layer: keras.layers.Layer, arrays: Any, values: Any) -> Any:
    """Return the pre-activation of a Dense or Conv2D layer; its kernel may have been cut."""
    kernel, *bias = arrays
    if isinstance(layer, keras.layers.Dense):
        outputs = keras.ops.matmul(values, kernel)
    else:
        outputs = convolve(layer, kernel, values)
    return outputs + bias[0] if bias else outputs


def convolve(layer: keras.layers.Layer, kernel: Any, values: Any) -> Any:
    """Convolve with a kernel of the layer, or with some of its input channels."""
    return keras.ops.conv(
        values,
        kernel,
        strides=tuple(layer.strides),
        padding=layer.padding,
        data_format="channels_last",
        dilation_rate=layer.dilation_rate,
    )


def activate(layer: keras.layers.Layer, values: Any) -> Any:
    """Apply the activation of a layer that has one of its own."""
    if layer.activation is keras.activations.relu:
        return backend.relu(values)
    return values if layer.activation is None else layer.activation(values)


def _apply(layer: keras.layers.Layer, arrays: Any, values: Any) -> Any:
    """Apply one layer at inference with weights of any number of channels.

    `Layer.stateless_call` insists on the shapes the layer was built with.
    """
    # As Keras has it: integers stay what they are until a layer makes something else of them.
    if is_linear(layer) or keras.backend.is_float_dtype(values.dtype):
        values = keras.ops.cast(values, layer.compute_dtype)
    if is_linear(layer):
        return activate(layer, linear(layer, arrays, values))
    if isinstance(layer, keras.layers.BatchNormalization):
        return _normalise(layer, arrays, values)
    if isinstance(layer, keras.layers.Activation):
        return activate(layer, values)
    if isinstance(layer, keras.layers.ReLU) and _is_plain(layer):
        return backend.relu(values)
    if isinstance(layer, keras.layers.PReLU):
        return backend.relu(values) - arrays[0] * backend.relu(-values)
    # Some layers, those that augment images among them, train unless they are told not to.
    takes_training = "training" in signature(layer.call).parameters
    return layer.call(values, training=False) if takes_training else layer.call(values)


def _is_plain(layer: keras.layers.ReLU) -> bool:
    return layer.max_value is None and not layer.negative_slope and not layer.threshold


def _normalise(layer: keras.layers.BatchNormalization, arrays: Any, values: Any) -> Any:
    *learned, mean, variance = arrays
    scale = learned.pop(0) if layer.scale else None
    offset = learned.pop(0) if layer.center else None
    return keras.ops.batch_normalization(
        values, mean, variance, axis=-1, offset=offset, scale=scale, epsilon=layer.epsilon
    )
