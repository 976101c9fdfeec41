"""Which layers can be scored and cut exactly; the others are refused by name.

Raised everywhere: `ModelError`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from kvasir_prune import backend
from kvasir_prune.errors import ModelError
from kvasir_prune.models.path import Shape
from kvasir_prune.models.work import LINEAR, is_linear

IDENTITY = (
    keras.layers.ActivityRegularization,
    keras.layers.AlphaDropout,
    keras.layers.Dropout,
    keras.layers.GaussianDropout,
    keras.layers.GaussianNoise,
    keras.layers.Identity,
    keras.layers.SpatialDropout1D,
    keras.layers.SpatialDropout2D,
)
"""Layers that change nothing at inference."""
ACTIVATION_LAYERS = (keras.layers.ELU, keras.layers.LeakyReLU, keras.layers.ReLU)
"""Layers without weights that treat every value alone."""
PER_CHANNEL = (
    *IDENTITY,
    *ACTIVATION_LAYERS,
    keras.layers.Activation,
    keras.layers.AveragePooling2D,
    keras.layers.BatchNormalization,
    keras.layers.Flatten,
    keras.layers.GlobalAveragePooling2D,
    keras.layers.GlobalMaxPooling2D,
    keras.layers.MaxPooling2D,
    keras.layers.PReLU,
    keras.layers.Rescaling,
    keras.layers.ZeroPadding2D,
)
"""What may stand between linear layers: every channel is treated alone."""
WEIGHTED_BEFORE = (keras.layers.BatchNormalization, keras.layers.Normalization, keras.layers.PReLU)
"""What may have weights before the first linear layer; none of them has nodes."""
EXACT_TYPES = ("float32", "float64")
ELEMENTWISE = (
    *("celu", "elu", "exponential", "gelu", "hard_shrink", "hard_sigmoid", "hard_silu"),
    *("hard_tanh", "leaky_relu", "linear", "log_sigmoid", "mish", "relu", "relu6", "selu"),
    *("sigmoid", "silu", "soft_shrink", "softplus", "softsign", "sparse_plus"),
    *("sparse_sigmoid", "squareplus", "tanh", "tanh_shrink"),
)
"""Keras's activations that treat every channel alone."""


def check_types(layers: Sequence[keras.layers.Layer], dtype: str) -> None:
    """Refuse layers that compute in a type that rounds, or in another one than `dtype`."""
    for layer in layers:
        _check_exact(layer)
    for layer in layers:
        if layer.compute_dtype != dtype:
            raise ModelError(
                f'The layer "{layer.name}" computes in another type than the first Dense or '
                "Conv2D layer.",
                got=layer.compute_dtype,
                expected=dtype,
                fix="build all layers with one dtype policy",
            )


def _check_exact(layer: keras.layers.Layer) -> None:
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


def check_axes(layer: keras.layers.Layer, shape: Shape) -> None:
    """Refuse a layer that has not its channels on the last axis, and each for itself.

    Args:
        layer: any up to the output.
        shape: of what it gives for one image.
    """
    if is_linear(layer):
        _check_linear(layer)
    if isinstance(layer, keras.layers.BatchNormalization) and layer.axis not in (-1, len(shape)):
        raise ModelError(
            f'The layer "{layer.name}" does not normalise the channel axis.',
            got=f"axis={layer.axis}",
            expected="axis=-1",
        )


def _check_linear(layer: keras.layers.Layer) -> None:
    if getattr(layer, "data_format", "channels_last") != "channels_last":
        raise ModelError(f'The layer "{layer.name}" has channels first; channels last is needed.')
    if getattr(layer, "groups", 1) != 1:
        raise ModelError(f'The layer "{layer.name}" is a grouped convolution.', expected="groups=1")
    if len(layer.weights) != 1 + layer.use_bias:
        raise ModelError(
            f'The layer "{layer.name}" is quantised or has weights of low rank beside its own.',
            got=", ".join(weight.name for weight in layer.weights),
            expected="a kernel, and a bias if it has one",
        )


def check_before(layer: keras.layers.Layer) -> None:
    """Refuse a layer before the first linear one that may have nodes of its own."""
    if layer.weights and type(layer) not in WEIGHTED_BEFORE:
        raise ModelError(
            f'The layer "{layer.name}" is a {type(layer).__name__}, whose nodes cannot be removed '
            "here.",
            expected="before the first Dense or Conv2D layer, layers without weights or "
            + ", ".join(kind.__name__ for kind in WEIGHTED_BEFORE),
        )


def check_between(layer: keras.layers.Layer) -> None:
    """Refuse a layer before the output, from the first linear one on, that may mix channels."""
    if type(layer) not in (*LINEAR, *PER_CHANNEL):
        raise ModelError(
            f'The layer "{layer.name}" is a {type(layer).__name__}, whose effect on single '
            "channels is not known here.",
            expected=", ".join(sorted(kind.__name__ for kind in (*LINEAR, *PER_CHANNEL))),
        )
    if getattr(layer, "data_format", "channels_last") != "channels_last":
        raise ModelError(f'The layer "{layer.name}" has channels first; channels last is needed.')
    if type(layer) is keras.layers.Rescaling and (np.ndim(layer.scale) or np.ndim(layer.offset)):
        raise ModelError(
            f'The layer "{layer.name}" rescales every channel differently, behind a layer whose '
            "channels may be cut.",
            expected="one scale and one offset for all channels, or a BatchNormalization",
        )
    if type(layer) is keras.layers.PReLU and layer.alpha.ndim in (layer.shared_axes or ()):
        raise ModelError(
            f'The layer "{layer.name}" has one slope for all channels.',
            got=f"shared_axes={layer.shared_axes}",
            expected="a slope for every channel, or a LeakyReLU",
        )
    _check_activation(layer)


def _check_activation(layer: keras.layers.Layer) -> None:
    activation = getattr(layer, "activation", None) or keras.activations.linear
    if isinstance(activation, keras.layers.Layer):
        check_types([activation], layer.compute_dtype)
    if not _is_elementwise(activation):
        raise ModelError(
            f'The layer "{layer.name}" has the activation {_name_of(activation)}: it mixes '
            "channels, or is not known to leave them alone, so that its nodes cannot be removed "
            "one by one.",
            expected="one of Keras's own: "
            + ", ".join((*ELEMENTWISE, *(kind.__name__ for kind in ACTIVATION_LAYERS))),
        )


def _is_elementwise(activation: Any) -> bool:
    if type(activation) is keras.layers.Activation:
        activation = activation.activation
    if type(activation) in ACTIVATION_LAYERS:
        return True
    name = _name_of(activation)
    return name in ELEMENTWISE and activation is getattr(keras.activations, name)


def _name_of(activation: Any) -> str:
    return str(getattr(activation, "__name__", type(activation).__name__))


def check_output(
    layer: keras.layers.Layer, shape: Shape, behind: Sequence[keras.layers.Layer]
) -> None:
    """Refuse an output layer that gives no row of logits, or one whose logits are changed.

    Args:
        layer: the last linear one.
        shape: of what it gives for one image.
        behind: what follows it.
    """
    if len(shape) != 1:
        raise ModelError(
            f'The output layer "{layer.name}" gives a map for every image.',
            got=f"shape {shape}",
            expected="one logit for every class",
            fix="flatten or pool before the last Dense layer",
        )
    own = layer.activation or keras.activations.linear
    is_normalised = _is_softmax(own)
    if not is_normalised and own is not keras.activations.linear:
        raise ModelError(
            f'The output layer "{layer.name}" has the activation {_name_of(own)}.',
            expected="softmax or none",
        )
    for one in behind:
        is_linear_activation = getattr(one, "activation", None) is keras.activations.linear
        if type(one) in IDENTITY or (type(one) is keras.layers.Activation and is_linear_activation):
            continue
        if is_normalised or not _is_softmax(one):
            raise ModelError(
                f'The layer "{one.name}" follows the output layer.',
                got=type(one).__name__,
                expected="nothing but one softmax after the last Dense layer",
            )
        is_normalised = True


def _is_softmax(activation: Any) -> bool:
    """Return whether a function or a layer is the softmax over the classes."""
    if type(activation) is keras.layers.Activation:
        activation = activation.activation
    if type(activation) is keras.layers.Softmax:
        return activation.axis in (-1, 1)
    return activation is keras.activations.softmax
