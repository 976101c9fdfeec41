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


def multiply_adds(kernel_shape: Sequence[int], output_shape: Sequence[int]) -> int:
    """Return the multiply-adds of a Dense or Conv2D layer for one image.

    Args:
        kernel_shape: of its kernel, which may have been cut.
        output_shape: of what it gives for one image; only the positions are read.
    """
    return int(math.prod(kernel_shape) * math.prod(output_shape[:-1]))


def multiply_adds_of(chain: Chain, weights: Weights, start: int, stop: int) -> int:
    """Return the multiply-adds of the layers `start` to `stop` (exclusive) for one image."""
    places = (place for place in range(start, stop) if is_linear(chain.layers[place]))
    return sum(multiply_adds(weights[place][0].shape, chain.shapes[place]) for place in places)


def values_of(chain: Chain, place: int) -> int:
    """Return how many values the layer at `place` gives for one image, before any cut."""
    return math.prod(chain.shapes[place])


def is_linear(layer: keras.layers.Layer) -> bool:
    """Return whether the layer multiplies and adds."""
    return type(layer) in LINEAR
