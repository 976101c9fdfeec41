"""Which layers can be scored and cut exactly; the others are refused by name.

Raised everywhere: `ModelError`.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from kvasir_prune import backend
from kvasir_prune.errors import ModelError
from kvasir_prune.models.work import LINEAR

PER_CHANNEL = (
    keras.layers.BatchNormalization,
    keras.layers.Dropout,
    keras.layers.Flatten,
    keras.layers.GlobalAveragePooling2D,
    keras.layers.GlobalMaxPooling2D,
    keras.layers.MaxPooling2D,
    keras.layers.AveragePooling2D,
    keras.layers.ReLU,
    keras.layers.LeakyReLU,
    keras.layers.ELU,
    keras.layers.Rescaling,
    keras.layers.ZeroPadding2D,
)
EXACT_TYPES = ("float32", "float64")
ELEMENTWISE = (
    *("celu", "elu", "exponential", "gelu", "hard_shrink", "hard_sigmoid", "hard_silu"),
    *("hard_tanh", "leaky_relu", "linear", "log_sigmoid", "mish", "relu", "relu6", "selu"),
    *("sigmoid", "silu", "soft_shrink", "softplus", "softsign", "sparse_plus"),
    *("sparse_sigmoid", "squareplus", "tanh", "tanh_shrink"),
)
"""Keras's activations that treat every channel alone."""


def check_layer(layer: keras.layers.Layer, *, is_output: bool) -> None:
    """Refuse a layer, from the first linear one on, whose channels cannot be told apart."""
    if layer.compute_dtype not in EXACT_TYPES:
        raise ModelError(
            f'The layer "{layer.name}" computes in {layer.compute_dtype}: decisions about nodes '
            "would be decisions about rounding.",
            expected=" or ".join(EXACT_TYPES),
            fix="load the model with the dtype policy float32",
        )
    if layer.compute_dtype == "float64" and not backend.has_float64():
        raise ModelError(
            f'The layer "{layer.name}" is to compute in float64, which Keras on JAX rounds to '
            "float32 on the way.",
            expected="float32",
            fix="use the TensorFlow backend, or load the model with the dtype policy float32",
        )
    if isinstance(layer, keras.layers.Softmax) or type(layer) is keras.layers.Activation:
        return
    if type(layer) not in (*LINEAR, *PER_CHANNEL):
        raise ModelError(
            f'The layer "{layer.name}" is a {type(layer).__name__}, whose effect on single '
            "channels is not known here.",
            expected=", ".join(sorted(kind.__name__ for kind in (*LINEAR, *PER_CHANNEL))),
        )
    if getattr(layer, "data_format", "channels_last") != "channels_last":
        raise ModelError(f'The layer "{layer.name}" has channels first; channels last is needed.')
    if getattr(layer, "groups", 1) != 1:
        raise ModelError(f'The layer "{layer.name}" is a grouped convolution.', expected="groups=1")
    if isinstance(layer, keras.layers.BatchNormalization) and layer.axis not in (-1, 3):
        raise ModelError(f'The layer "{layer.name}" does not normalise the channel axis.')
    if type(layer) is keras.layers.Rescaling and (np.ndim(layer.scale) or np.ndim(layer.offset)):
        raise ModelError(
            f'The layer "{layer.name}" rescales every channel differently, behind a layer whose '
            "channels may be cut.",
            expected="one scale and one offset for all channels, or a BatchNormalization",
        )
    if not is_output:
        check_activation(layer)


def check_activation(layer: keras.layers.Layer) -> None:
    """Refuse a layer between linear ones whose activation may mix channels."""
    activation = getattr(layer, "activation", None) or keras.activations.linear
    name = "softmax" if isinstance(layer, keras.layers.Softmax) else name_of(activation)
    if name not in ELEMENTWISE or activation is not getattr(keras.activations, name):
        raise ModelError(
            f'The layer "{layer.name}" has the activation {name}: it mixes channels, or is not '
            "known to leave them alone, so that its nodes cannot be removed one by one.",
            expected=f"one of Keras's own: {', '.join(ELEMENTWISE)}",
        )


def name_of(activation: Any) -> str:
    """Return what to call an activation in a message."""
    return str(getattr(activation, "__name__", type(activation).__name__))


def check_output(layer: keras.layers.Layer) -> None:
    """Refuse a last linear layer that gives more than a row of logits for each image."""
    if len(layer.output.shape) != 2:
        raise ModelError(
            f'The output layer "{layer.name}" gives a map for every image.',
            got=f"shape {layer.output.shape}",
            expected="one logit for every class",
            fix="flatten or pool before the last Dense layer",
        )


def check_after_output(layers: list[keras.layers.Layer]) -> None:
    """Refuse layers behind the last linear one that change what it predicts."""
    own = (keras.activations.softmax, keras.activations.linear)
    for layer in layers:
        is_softmax = isinstance(layer, keras.layers.Softmax)
        if not is_softmax and getattr(layer, "activation", None) not in own:
            raise ModelError(
                f'The layer "{layer.name}" follows the output layer.',
                expected="nothing but a softmax after the last Dense layer",
            )
