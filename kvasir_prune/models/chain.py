"""A Keras model read as a chain: who produces a channel, who consumes it, what lies between.

Scorer and surgery ask only these questions, so that the chain can grow into a graph one day
without either being rewritten.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from itertools import pairwise

import keras

from kvasir_prune.errors import ModelError
from kvasir_prune.models.path import Shape, path_of
from kvasir_prune.models.supported import (
    check_axes,
    check_before,
    check_between,
    check_output,
    check_types,
)
from kvasir_prune.models.work import is_linear
from kvasir_prune.types import LayerSize


@dataclass(frozen=True)
class Hidden:
    """One prunable layer of a chain.

    Attributes:
        name: its name in the Keras model.
        nodes: units of a Dense layer, filters of a Conv2D layer.
        producer: its position in `Chain.layers`.
        consumer: position of the next linear layer, which reads its channels.
        positions: how many inputs of the consumer each channel has: the spatial positions that a
            Flatten in between lays side by side (channel fastest), otherwise 1.
    """

    name: str
    nodes: int
    producer: int
    consumer: int
    positions: int

    @property
    def size(self) -> LayerSize:
        """Name and number of nodes, without the place in the chain."""
        return LayerSize(self.name, self.nodes)


@dataclass(frozen=True)
class Chain:
    """A network whose layers form one path from images to logits.

    Attributes:
        model: the Keras model.
        layers: its layers in order, input layers left out; the last one gives logits, so that a
            final softmax, as a layer or as an activation, is not among them.
        shapes: of what each of them gives for one image.
        hidden: the prunable layers, first to last; the output layer is none of them.
    """

    model: keras.Model
    layers: tuple[keras.layers.Layer, ...]
    shapes: tuple[Shape, ...]
    hidden: tuple[Hidden, ...]

    @property
    def input_dtype(self) -> str:
        """The type its images are cast to: uint8, or float32 where Keras chose it."""
        return str(self.model.inputs[0].dtype)

    @property
    def dtype(self) -> str:
        """The type it computes in: float32, or float64 for a model built so."""
        return str(self.layers[0].compute_dtype)

    def named(self, names: Collection[str] | None) -> tuple[Hidden, ...]:
        """Return the prunable layers of these names, first to last; None: all of them.

        Raises:
            ModelError: there is no layer of some name.
        """
        wanted = None if names is None else {self.find(name).name for name in names}
        return tuple(h for h in self.hidden if wanted is None or h.name in wanted)

    def find(self, name: str) -> Hidden:
        """Return the prunable layer of that name.

        Raises:
            ModelError: there is none.
        """
        for layer in self.hidden:
            if layer.name == name:
                return layer
        raise ModelError(
            f'The network has no prunable layer "{name}".',
            where="importance.layers / pruning.layers",
            got=name,
            expected=", ".join(layer.name for layer in self.hidden),
            fix="correct the name, or leave the key out for all layers",
        )


def read_chain(model: keras.Model) -> Chain:
    """Read a built model as a chain.

    Args:
        model: Sequential, or functional whose layers form one path.

    Raises:
        ModelError: naming the layer or operation that branches, mixes channels, computes in
            another type, or is of an unknown kind; or there is no hidden layer.
    """
    path = path_of(model)
    layers, shapes = [layer for layer, _ in path], tuple(shape for _, shape in path)
    linear = [place for place, layer in enumerate(layers) if is_linear(layer)]
    if len(linear) < 2:
        raise ModelError(
            f'The network "{model.name}" has no hidden layer.',
            got=f"{len(linear)} Dense or Conv2D layer" + "s" * (not linear),
            expected="at least one before the output layer",
        )
    first, last = linear[0], linear[-1]
    check_types(layers[: last + 1], layers[first].compute_dtype)
    for layer, shape in path[: last + 1]:
        check_axes(layer, shape)
    for layer in layers[:first]:
        check_before(layer)
    for layer in layers[first:last]:
        check_between(layer)
    check_output(layers[last], shapes[last], layers[last + 1 :])
    hidden = tuple(_hidden(layers, producer, consumer) for producer, consumer in pairwise(linear))
    body = (*layers[:last], _without_softmax(layers[last], shapes[last - 1]))
    return Chain(model, body, shapes[: last + 1], hidden)


def _hidden(layers: list[keras.layers.Layer], producer: int, consumer: int) -> Hidden:
    nodes = int(layers[producer].kernel.shape[-1])
    inputs = int(layers[consumer].kernel.shape[-2])
    return Hidden(layers[producer].name, nodes, producer, consumer, inputs // nodes)


def _without_softmax(layer: keras.layers.Layer, inputs: Shape) -> keras.layers.Layer:
    """Return the output layer, or a twin without its softmax that is called with its weights."""
    if layer.activation in (None, keras.activations.linear):
        return layer
    twin = type(layer).from_config({**layer.get_config(), "activation": "linear"})
    twin.build((None, *inputs))
    return twin
