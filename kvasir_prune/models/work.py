"""How many multiply-adds a linear layer costs, counted from shapes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import keras

if TYPE_CHECKING:
    from kvasir_prune.models.chain import Chain
    from kvasir_prune.models.forward import Weights

LINEAR = (keras.layers.Dense, keras.layers.Conv2D)
"""The kinds of layers that multiply and add; the others cost next to nothing."""


def multiply_adds(layer: keras.layers.Layer, kernel_shape: Sequence[int]) -> int:
    """Return the multiply-adds of a Dense or Conv2D layer for one image.

    Args:
        layer: built, called once; only the positions of its output are read.
        kernel_shape: of its kernel, which may have been cut.
    """
    return int(math.prod(kernel_shape) * math.prod(layer.output.shape[1:-1]))


def multiply_adds_of(chain: Chain, weights: Weights, start: int, stop: int) -> int:
    """Return the multiply-adds of the layers `start` to `stop` (exclusive) for one image."""
    pairs = zip(chain.layers[start:stop], weights[start:stop], strict=True)
    return sum(multiply_adds(layer, arrays[0].shape) for layer, arrays in pairs if is_linear(layer))


def values_of(chain: Chain, place: int) -> int:
    """Return how many values the layer at `place` gives for one image, before any cut."""
    layer = chain.layers[place]
    if place == 0:
        return math.prod(layer.output.shape[1:])
    before = chain.layers[place - 1].output.shape
    return math.prod(layer.compute_output_shape(before)[1:])


def is_linear(layer: keras.layers.Layer) -> bool:
    """Return whether the layer multiplies and adds."""
    return type(layer) in LINEAR
