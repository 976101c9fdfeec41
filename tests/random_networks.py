"""Networks of random architecture, as hypothesis strategies."""

from __future__ import annotations

from typing import Any

import keras
from hypothesis import strategies as st

from tests.networks import CLASSES, randomise

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


@st.composite
def networks(draw: st.DrawFn, dtype: str = "float32") -> keras.Model:
    """Up to two convolutional blocks, a way to flatten, one or two dense layers, logits."""
    stack: list[Any] = [keras.layers.Rescaling(1 / 255, dtype=dtype)]
    for number in range(draw(st.integers(0, 2))):
        padding = draw(st.sampled_from(["same", "valid"])) if number == 0 else "same"
        stack += draw(_convolution(dtype, padding))
    flatten = st.sampled_from(
        [keras.layers.Flatten, keras.layers.GlobalAveragePooling2D, keras.layers.GlobalMaxPooling2D]
    )
    stack.append(draw(flatten)(dtype=dtype))
    for _ in range(draw(st.integers(1, 2))):
        stack += draw(_dense(dtype))
    stack.append(
        keras.layers.Dense(CLASSES, kernel_initializer="zeros", name="predictions", dtype=dtype)
    )
    model = keras.Sequential([keras.Input((SIDE, SIDE, 2), dtype="uint8"), *stack])
    randomise(model, draw(st.integers(0, 999)))
    return model


@st.composite
def _convolution(draw: st.DrawFn, dtype: str, padding: str) -> list[Any]:
    width = st.integers(2, 5)
    layers: list[Any] = [
        keras.layers.Conv2D(
            draw(width),
            draw(st.sampled_from([1, 2, 3])),
            strides=draw(st.sampled_from([1, 1, 2])),
            padding=padding,
            use_bias=draw(st.booleans()),
            activation=draw(st.sampled_from(ACTIVATIONS)),
            kernel_initializer="zeros",
            dtype=dtype,
        )
    ]
    if draw(st.booleans()):
        layers.append(keras.layers.BatchNormalization(scale=draw(st.booleans()), dtype=dtype))
    if draw(st.booleans()):
        layers.append(keras.layers.Activation(draw(st.sampled_from(ACTIVATIONS)), dtype=dtype))
    if draw(st.booleans()):
        kind = draw(st.sampled_from([keras.layers.MaxPooling2D, keras.layers.AveragePooling2D]))
        layers.append(kind(2, padding="same", dtype=dtype))
    return layers


@st.composite
def _dense(draw: st.DrawFn, dtype: str) -> list[Any]:
    units, activation = draw(st.integers(2, 6)), draw(st.sampled_from(ACTIVATIONS))
    layers: list[Any] = [
        keras.layers.Dense(units, activation=activation, kernel_initializer="zeros", dtype=dtype)
    ]
    if draw(st.booleans()):
        layers.append(keras.layers.BatchNormalization(center=draw(st.booleans()), dtype=dtype))
    if draw(st.booleans()):
        layers.append(keras.layers.Dropout(0.5, seed=0, dtype=dtype))
    return layers
