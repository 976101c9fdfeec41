"""A Keras model read as a chain: who produces a channel, who consumes it, what lies between.

Scorer and surgery ask only these questions, so that the chain can grow into a graph one day
without either being rewritten.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import keras

from kvasir_prune.errors import ModelError
from kvasir_prune.models.supported import (
    check_activation,
    check_after_output,
    check_layer,
    check_output,
    name_of,
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
        hidden: the prunable layers, first to last; the output layer is none of them.
    """

    model: keras.Model
    layers: tuple[keras.layers.Layer, ...]
    hidden: tuple[Hidden, ...]

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
        model: Sequential, or Functional whose layers form one path.

    Raises:
        ModelError: naming the layer that branches, mixes channels, or is of an unknown kind.
    """
    layers = [layer for layer in _path(model) if not isinstance(layer, keras.layers.InputLayer)]
    linear = [place for place, layer in enumerate(layers) if is_linear(layer)]
    if not linear:
        raise ModelError("The network has no Dense or Conv2D layer.", where=model.name)
    for layer in layers[linear[0] :]:
        check_layer(layer, is_output=layer is layers[linear[-1]])
    check_output(layers[linear[-1]])
    check_after_output(layers[linear[-1] + 1 :])
    hidden = tuple(_hidden(layers, producer, consumer) for producer, consumer in pairwise(linear))
    body = [*layers[: linear[-1]], _without_softmax(layers[linear[-1]])]
    return Chain(model, tuple(body), hidden)


def _path(model: keras.Model) -> list[keras.layers.Layer]:
    if isinstance(model, keras.Sequential):
        return list(model.layers)
    for layer in model.layers:
        if not isinstance(layer, keras.layers.InputLayer) and isinstance(layer.input, list):
            raise ModelError(
                f'The layer "{layer.name}" joins several branches; only chains can be pruned.',
                where=model.name,
                expected="every layer reads exactly the layer before it",
            )
    consumers: dict[str, int] = {}
    for entry in model.get_config()["layers"]:
        for source in _sources(entry["inbound_nodes"]):
            consumers[source] = consumers.get(source, 0) + 1
    for name, count in consumers.items():
        if count > 1:
            raise ModelError(
                f'The output of the layer "{name}" is read by {count} layers; only chains can '
                "be pruned.",
                where=model.name,
            )
    return list(model.layers)


def _sources(node: Any) -> list[str]:
    """Return the names of the layers that a serialised inbound node reads."""
    if isinstance(node, dict):
        if "keras_history" in node:
            return [str(node["keras_history"][0])]
        return [name for value in node.values() for name in _sources(value)]
    if isinstance(node, list | tuple):
        return [name for value in node for name in _sources(value)]
    return []


def _hidden(layers: list[keras.layers.Layer], producer: int, consumer: int) -> Hidden:
    layer, reader = layers[producer], layers[consumer]
    for between in layers[producer + 1 : consumer]:
        if isinstance(between, keras.layers.Softmax) or type(between) is keras.layers.Activation:
            check_activation(between)
    kernel = layer.kernel.shape
    inputs = int(reader.kernel.shape[-2])
    return Hidden(layer.name, int(kernel[-1]), producer, consumer, inputs // int(kernel[-1]))


def _without_softmax(layer: keras.layers.Layer) -> keras.layers.Layer:
    """Return the output layer, or a twin without its softmax that is called with its weights."""
    if layer.activation in (None, keras.activations.linear):
        return layer
    if layer.activation is not keras.activations.softmax:
        raise ModelError(
            f'The output layer "{layer.name}" has the activation {name_of(layer.activation)}.',
            expected="softmax or none",
        )
    twin = type(layer).from_config({**layer.get_config(), "activation": "linear"})
    twin.build(layer.input.shape)
    return twin
