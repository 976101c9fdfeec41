"""Networks of random architecture, as hypothesis strategies."""

from __future__ import annotations

from typing import Any

import keras
from hypothesis import strategies as st

from tests.networks import CLASSES, randomise

Layer = keras.layers.Layer
Settings = tuple[dict[str, Any], ...]

ACTIVATIONS = (
    "relu",
    "tanh",
    "sigmoid",
    "elu",
    "gelu",
    "selu",
    "silu",
    "softplus",
    "softsign",
    "leaky_relu",
    "hard_sigmoid",
    "mish",
    "linear",
    "relu6",
    "squareplus",
    "celu",
    "hard_shrink",
    "hard_silu",
    "hard_tanh",
    "log_sigmoid",
    "soft_shrink",
    "sparse_plus",
    "sparse_sigmoid",
    "tanh_shrink",
)
SIDE = 8
DROPPING = {"rate": 0.5, "seed": 0}
EVERYWHERE: dict[type[Layer], Settings] = {
    keras.layers.Activation: tuple({"activation": name} for name in ACTIVATIONS),
    keras.layers.ActivityRegularization: ({"l2": 0.1},),
    keras.layers.AlphaDropout: (DROPPING,),
    keras.layers.BatchNormalization: ({}, {"scale": False}, {"center": False, "epsilon": 0.1}),
    keras.layers.Dropout: (DROPPING,),
    keras.layers.ELU: ({}, {"alpha": 0.3}),
    keras.layers.GaussianDropout: (DROPPING,),
    keras.layers.GaussianNoise: ({"stddev": 1.0, "seed": 0},),
    keras.layers.Identity: ({},),
    keras.layers.LeakyReLU: ({}, {"negative_slope": 0.1}),
    keras.layers.PReLU: ({},),
    keras.layers.ReLU: ({}, {"max_value": 2.0, "negative_slope": 0.2, "threshold": 0.1}),
    keras.layers.Rescaling: ({"scale": 0.7, "offset": 0.2},),
}
"""Layers behind any linear one, with settings to choose from."""
BETWEEN_MAPS: dict[type[Layer], Settings] = {
    keras.layers.AveragePooling2D: (
        {"pool_size": 2, "padding": "same"},
        {"pool_size": 2, "strides": 1, "padding": "same"},
    ),
    keras.layers.MaxPooling2D: (
        {"pool_size": 2, "padding": "same"},
        {"pool_size": 3, "padding": "same"},
    ),
    keras.layers.PReLU: ({"shared_axes": [1, 2]},),
    keras.layers.SpatialDropout2D: (DROPPING,),
    keras.layers.ZeroPadding2D: ({}, {"padding": ((0, 1), (2, 0))}),
}
"""Layers behind a convolution."""
FLATTENING = (
    keras.layers.Flatten,
    keras.layers.GlobalAveragePooling2D,
    keras.layers.GlobalMaxPooling2D,
)


@st.composite
def networks(draw: st.DrawFn, dtype: str = "float32") -> keras.Model:
    """Up to two convolutional blocks, a way to flatten, one or two dense layers, an output."""
    stack: list[Any] = [keras.layers.Rescaling(1 / 255, dtype=dtype)]
    for number in range(draw(st.integers(0, 2))):
        padding = draw(st.sampled_from(["same", "valid"])) if number == 0 else "same"
        stack += draw(_convolution(dtype, padding))
    stack.append(draw(st.sampled_from(FLATTENING))(dtype=dtype))
    for _ in range(draw(st.integers(1, 2))):
        stack += [_dense(draw(st.integers(2, 6)), draw(_activation(dtype)), dtype)]
        stack += draw(_some_of(EVERYWHERE, dtype))
    stack += draw(st.sampled_from([_logits, _softmax, _logits_and_softmax]))(dtype)
    return _built(stack, draw(st.integers(0, 999)))


def with_every_layer(flattening: type[Layer], dtype: str = "float32") -> keras.Model:
    """Return a network with all of `EVERYWHERE` behind a convolution and behind a Dense layer."""
    stack = [
        keras.layers.Rescaling(1 / 255, dtype=dtype),
        _convolution_of(4, 3, dtype, dilation_rate=2, padding="same"),
        *_all_of(BETWEEN_MAPS, dtype),
        *_all_of(EVERYWHERE, dtype),
        _convolution_of(3, 2, dtype, strides=2, activation=keras.layers.LeakyReLU(dtype=dtype)),
        flattening(dtype=dtype),
        _dense(5, "tanh", dtype),
        *_all_of(EVERYWHERE, dtype),
        *_softmax(dtype),
    ]
    return _built(stack, seed=1)


def on_a_sequence() -> keras.Model:
    """Return a network that reads an image as a sequence."""
    return _built(
        [
            keras.layers.Rescaling(1 / 255),
            keras.layers.Reshape((SIDE, -1)),
            _dense(5, "relu"),
            keras.layers.SpatialDropout1D(**DROPPING),
            keras.layers.Flatten(),
            _dense(4, "relu"),
            *_logits("float32"),
        ],
        seed=1,
    )


def _built(stack: list[Any], seed: int) -> keras.Model:
    model = keras.Sequential([keras.Input((SIDE, SIDE, 2), dtype="uint8"), *stack])
    randomise(model, seed)
    return model


def _all_of(kinds: dict[type[Layer], Settings], dtype: str) -> list[Layer]:
    return [kind(**settings[-1], dtype=dtype) for kind, settings in kinds.items()]


@st.composite
def _some_of(draw: st.DrawFn, kinds: dict[type[Layer], Settings], dtype: str) -> list[Layer]:
    chosen = draw(st.lists(st.sampled_from(list(kinds)), max_size=3, unique=True))
    return [kind(**draw(st.sampled_from(kinds[kind])), dtype=dtype) for kind in chosen]


@st.composite
def _activation(draw: st.DrawFn, dtype: str) -> Any:
    """A name, or a layer as an activation."""
    kinds = (keras.layers.ReLU, keras.layers.LeakyReLU, keras.layers.ELU)
    chosen = draw(st.sampled_from([*ACTIVATIONS, *kinds]))
    return chosen if isinstance(chosen, str) else chosen(dtype=dtype)


@st.composite
def _convolution(draw: st.DrawFn, dtype: str, padding: str) -> list[Layer]:
    strides, dilation = draw(st.sampled_from([(1, 1), (1, 1), (2, 1), (1, 2)]))
    layer = _convolution_of(
        draw(st.integers(2, 5)),
        draw(st.sampled_from([1, 2, 3])),
        dtype,
        strides=strides,
        dilation_rate=dilation,
        padding=padding,
        use_bias=draw(st.booleans()),
        activation=draw(_activation(dtype)),
    )
    return [layer, *draw(_some_of({**EVERYWHERE, **BETWEEN_MAPS}, dtype))]


# Weights are drawn anew: no time is spent on initial ones.
def _convolution_of(filters: int, size: int, dtype: str, **settings: Any) -> Layer:
    return keras.layers.Conv2D(filters, size, kernel_initializer="zeros", dtype=dtype, **settings)


def _dense(units: int, activation: Any, dtype: str = "float32") -> Layer:
    return keras.layers.Dense(units, activation=activation, kernel_initializer="zeros", dtype=dtype)


def _logits(dtype: str) -> list[Layer]:
    return [_dense(CLASSES, None, dtype)]


def _softmax(dtype: str) -> list[Layer]:
    return [_dense(CLASSES, "softmax", dtype)]


def _logits_and_softmax(dtype: str) -> list[Layer]:
    return [*_logits(dtype), keras.layers.Softmax(dtype=dtype)]
