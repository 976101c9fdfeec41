"""What a network costs: parameters, floating-point operations, bytes on disk."""

from __future__ import annotations

from dataclasses import dataclass

import keras

from kvasir_prune.models import read_chain
from kvasir_prune.models.work import is_linear, multiply_adds


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
    """Count the cost of a chain for one image."""
    chain = read_chain(model)
    flops = sum(
        2 * multiply_adds(layer.kernel.shape, shape)
        for layer, shape in zip(chain.layers, chain.shapes, strict=True)
        if is_linear(layer)
    )
    return Cost(int(model.count_params()), flops)
