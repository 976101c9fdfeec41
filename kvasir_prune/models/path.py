"""The layers of a Keras model in the order an image takes, or why there is no such order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras

from kvasir_prune.errors import ModelError

Shape = tuple[int, ...]
Step = tuple[keras.layers.Layer, Shape]
"""A layer, and the shape of what it gives for one image."""


def path_of(model: keras.Model) -> tuple[Step, ...]:
    """Return the layers from input to output, the input layer left out.

    What is walked is the graph that Keras recorded when the model was built: `model.layers` does
    not list operations that are no layers (`keras.ops`, operators).

    Raises:
        ModelError: there is no graph, or it is not one path of layers, or of unknown sizes.
    """
    _check_model(model)
    calls = tuple(reversed(tuple(_calls(model))))
    for call in calls:
        _check_operation(call, model)
    names = [call.operation.name for call in calls]
    for name in names:
        if names.count(name) > 1:
            raise ModelError(
                f'The layer "{name}" is called {names.count(name)} times: its nodes cannot be '
                "removed at one place alone.",
                where=model.name,
                expected="every layer once",
            )
    return tuple((call.operation, tuple(call.outputs[0].shape[1:])) for call in calls)


def _check_model(model: keras.Model) -> None:
    """Refuse what computes otherwise than by one recorded graph with one input and one output."""
    own = [kind for kind in type(model).__mro__ if not kind.__module__.startswith("keras.")]
    has_own_call = any("call" in vars(kind) for kind in own)
    if has_own_call or not hasattr(model, "outputs"):
        fault = "a `call` of its own" if has_own_call else "no inputs yet"
        raise ModelError(
            f'The layers of the network "{model.name}" cannot be followed.',
            got=f"a {type(model).__name__} with {fault}",
            expected="a Sequential or functional model that is built",
            fix="begin it with keras.Input and put its layers one behind the other",
        )
    for word, tensors in (("inputs", model.inputs), ("outputs", model.outputs)):
        if len(tensors) > 1:
            raise ModelError(
                f'The network "{model.name}" has {len(tensors)} {word}; only chains can be pruned.',
                got=", ".join(f'"{tensor._keras_history.operation.name}"' for tensor in tensors),
                expected="one input and one output",
            )
    if None in model.inputs[0].shape[1:]:
        raise ModelError(
            f'The network "{model.name}" takes images of any size.',
            got=f"inputs of shape {model.inputs[0].shape}",
            expected="images of one size, from which what is kept of a layer is reckoned",
            fix="build it with keras.Input((height, width, channels))",
        )


def _calls(model: keras.Model) -> Iterator[Any]:
    """Yield the calls (Keras's nodes) that lead to the model's output, last to first."""
    tensor = model.outputs[0]
    while True:
        operation, place, _ = tensor._keras_history
        if isinstance(operation, keras.layers.InputLayer):
            return
        call = operation._inbound_nodes[place]
        if len(call.input_tensors) != 1 or len(call.outputs) != 1:
            raise ModelError(
                f'The layer "{operation.name}" joins or splits several branches; only chains can '
                "be pruned.",
                where=model.name,
                expected="every layer reads exactly the layer before it",
            )
        yield call
        tensor = call.input_tensors[0]


def _check_operation(call: Any, model: keras.Model) -> None:
    """Refuse what is not simply a layer, called with nothing but the values before it."""
    operation = call.operation
    if not isinstance(operation, keras.layers.Layer):
        raise ModelError(
            f'The operation "{operation.name}" is not a layer.',
            where=model.name,
            expected="layers only",
            fix="put a layer in its place: Activation or ReLU, Rescaling, Flatten ...",
        )
    if isinstance(operation, keras.Model):
        raise ModelError(
            f'The network "{operation.name}" is nested in the network "{model.name}", so that its '
            "nodes are out of reach.",
            expected="layers only",
            fix="put its layers themselves in its place: keras.Sequential([..., *inner.layers])",
        )
    # What says training is overruled at inference, by Keras as well.
    settings = {k: v for k, v in call.arguments.kwargs.items() if k not in {"training", "mask"}}
    if len(call.arguments.args) + len(settings) > 1:
        raise ModelError(
            f'The layer "{operation.name}" is called with more than the values before it.',
            where=model.name,
            got=f"{(*call.arguments.args[1:], *settings.items())}",
            expected="one argument",
            fix="make the others attributes of the layer",
        )
