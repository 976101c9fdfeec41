"""What a network costs: parameters, floating-point operations, bytes on disk."""

from __future__ import annotations

import math
from dataclasses import dataclass

import keras


@dataclass(frozen=True)
class Cost:
    """Parameters, and floating-point operations for one image.

    Attributes:
        parameters: all weights, trainable or not.
        flops: two for every multiply-add of the Dense and Conv2D layers; biases, activations,
            normalisation and pooling are not counted, as is the custom of the literature.
    """

    parameters: int
    flops: int


def cost_of(model: keras.Model) -> Cost:
    """Count the cost of a built model for one image."""
    kinds = (keras.layers.Dense, keras.layers.Conv2D)
    flops = sum(_flops(layer) for layer in model.layers if isinstance(layer, kinds))
    return Cost(int(model.count_params()), flops)


def _flops(layer: keras.layers.Layer) -> int:
    kernel = math.prod(layer.kernel.shape)
    positions = math.prod(layer.output.shape[1:-1])
    return int(2 * kernel * positions)
