"""What one node contributes to its reader's pre-activation.

L(h e_n) without the bias, for the outputs h of a layer and its reader L: a product of two vectors
for a Dense reader, its spatial positions through Flatten, a convolution of one input channel for a
Conv2D reader.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from kvasir_prune import backend
from kvasir_prune.models.chain import Hidden
from kvasir_prune.models.forward import convolve

FEW_POSITIONS = 16
"""Of a map, up to which a product with a matrix is quicker than a convolution of one channel.

TensorFlow, two threads: 1.1 to 1.9 ms instead of 3.1 to 3.9 for 512 maps of 4x4 and 256 filters;
at 6x6 the convolution is the quicker one.
"""


def contribution(
    hidden: Hidden, reader: keras.layers.Layer, chosen: Any, kernel: Any, nodes: Any
) -> Any:
    """Return L(h e_n) without the bias: (segments * images, ...).

    Args:
        hidden: the layer.
        reader: the next linear layer, L.
        chosen: outputs of a node in each segment, (segments, images, ...).
        kernel: of the reader.
        nodes: (segments,); one segment where the reader is a Conv2D.
    """
    if isinstance(reader, keras.layers.Conv2D):
        return _convolved(reader, chosen[0], backend.take(kernel, nodes, axis=2))
    width = kernel.shape[-1]
    if hidden.positions > 1:
        by_position = ops.reshape(kernel, (hidden.positions, hidden.nodes, width))
        incoming = ops.transpose(backend.take(by_position, nodes, axis=1), (1, 0, 2))
        return ops.reshape(ops.matmul(chosen, incoming), (-1, width))
    incoming = ops.expand_dims(backend.take(kernel, nodes), 1)
    values = ops.reshape(chosen, (chosen.shape[0], -1, 1))
    # A matrix product of inner dimension 1: quicker than a product of two broadcast arrays.
    return ops.reshape(ops.matmul(values, incoming), (-1, *chosen.shape[2:], width))


def _convolved(reader: keras.layers.Conv2D, maps: Any, kernel: Any) -> Any:
    """Return the convolution of one channel: (n, rows, columns, filters).

    Where a map has few positions it is a product with what each of them alone would give.
    """
    images, rows, columns = maps.shape
    positions = rows * columns
    if positions > FEW_POSITIONS:
        return convolve(reader, kernel, ops.expand_dims(maps, -1))
    each = ops.reshape(ops.eye(positions, dtype=maps.dtype), (positions, rows, columns, 1))
    responses = convolve(reader, kernel, each)
    product = ops.matmul(
        ops.reshape(maps, (images, positions)), ops.reshape(responses, (positions, -1))
    )
    return ops.reshape(product, (images, *responses.shape[1:]))
