"""The three simple networks of thesis section 3.1."""

from __future__ import annotations

import keras

from kvasir_prune.config.model import Ann, Cnn, Mlp

MLP_UNITS = (128, 64, 32)
CNN_FILTERS = (32, 64, 128, 256)


def ann_layers(config: Ann) -> list[keras.layers.Layer]:
    """One hidden layer of 128 ReLU nodes."""
    return [*_start(), *_hidden((128,), config.initializer, config.dropout)]


def mlp_layers(config: Mlp) -> list[keras.layers.Layer]:
    """Three hidden layers of 128, 64 and 32 ReLU nodes."""
    return [*_start(), *_hidden(MLP_UNITS, config.initializer, config.dropout)]


def cnn_layers(config: Cnn) -> list[keras.layers.Layer]:
    """Four 3x3 convolutions with `same` padding, the first three pooled, then 64 dense nodes."""
    stack: list[keras.layers.Layer] = [_scaling()]
    for number, filters in enumerate(CNN_FILTERS, start=1):
        stack.append(
            keras.layers.Conv2D(
                filters,
                3,
                padding="same",
                activation="relu",
                kernel_initializer=config.initializer,
                name=f"conv{number}",
            )
        )
        if number < len(CNN_FILTERS):
            stack.append(keras.layers.MaxPooling2D(2, name=f"pool{number}"))
    flatten = keras.layers.Flatten(name="flatten")
    return [*stack, flatten, *_hidden((64,), config.initializer, 0.0)]


def _start() -> list[keras.layers.Layer]:
    return [_scaling(), keras.layers.Flatten(name="flatten")]


def _scaling() -> keras.layers.Layer:
    return keras.layers.Rescaling(1 / 255, name="scale_to_unit_range")


def _hidden(units: tuple[int, ...], initializer: str, dropout: float) -> list[keras.layers.Layer]:
    stack: list[keras.layers.Layer] = []
    for number, count in enumerate(units, start=1):
        name = f"dense{number}"
        stack.append(
            keras.layers.Dense(count, activation="relu", kernel_initializer=initializer, name=name)
        )
        if dropout:
            stack.append(keras.layers.Dropout(dropout, name=f"{name}_dropout"))
    return stack
