"""Compiled functions, and what is quicker in a backend's own operations than in Keras's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from kvasir_prune.backend.process import compute_in_full, name


def compiled(function: Callable[..., Any], *, fused: bool = False) -> Callable[..., Any]:
    """Return `function`, whose arguments are nests of arrays, traced by the backend.

    Reduced precision is switched off for the whole process, so that a loss is computed in full
    whether or not `configure` was called.

    Args:
        function: to trace.
        fused: whether TensorFlow hands it to XLA, which takes half a second and makes walks through
            memory fewer; JAX always does.
    """
    compute_in_full()
    if name() == "tensorflow":
        return _Traced(_fused(function) if fused else function)
    if name() == "jax":
        import jax

        jitted: Callable[..., Any] = jax.jit(function)
        return jitted
    return function


def _fused(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that is one operation of XLA's in the graph that calls it."""
    import tensorflow as tf

    traced: Callable[..., Any] = tf.function(function, autograph=False, jit_compile=True)
    return traced


def compiled_apart(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that gives the same bits whatever else is computed of its results.

    To be called within what `compiled_around` returns. XLA fuses a function with what reads its
    results, and rounds otherwise where more of them is wanted; on JAX it is therefore compiled by
    itself. TensorFlow's kernels know nothing of each other.
    """
    return compiled(function) if name() == "jax" else function


def compiled_around(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that calls others, of `compiled_apart`; compiled where they are not."""
    return function if name() == "jax" else compiled(function)


def take(values: Any, places: Any, axis: int = 0) -> Any:
    """Return `values` at some places of an axis, inside a compiled function.

    Keras's `ops.take` allows negative places, for which it computes four operations more.

    Args:
        values: any array.
        places: whole numbers from 0 on, inside the axis; of any shape, which takes its place.
        axis: of `values`.
    """
    if name() == "tensorflow":
        import tensorflow as tf

        return tf.gather(values, places, axis=axis)
    import keras

    return keras.ops.take(values, places, axis=axis)


def relu(values: Any) -> Any:
    """Return max(0, values), and NaN where a value is none.

    XLA on a processor may hand a ReLU and the matrix product behind it to a library whose maximum
    of zero and NaN is zero: a network that is broken would have a loss.
    """
    import keras

    if name() == "jax":
        return keras.ops.where(values < 0, keras.ops.zeros_like(values), values)
    return keras.ops.relu(values)


@dataclass(frozen=True)
class _Graph:
    """A traced function with what a call of it needs, as plain attributes.

    TensorFlow's C code asks for the name at every call; a concrete function computes it in Python,
    where a signal may arrive, and an exception raised there becomes one of TensorFlow's.
    """

    concrete: Any
    name: bytes
    captured: tuple[Any, ...]
    types: tuple[Any, ...]
    structure: Any


class _Traced:
    """A TensorFlow graph for each set of shapes, called as an operation with flat tensors.

    `tf.function`, and a concrete function too, inspect every argument of every call: most of the
    millisecond that a step with fifteen arguments would take to start.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self._graphs: dict[tuple[Any, ...], _Graph] = {}

    def __call__(self, *arguments: Any) -> Any:
        import keras
        import tensorflow as tf

        leaves = keras.tree.flatten(arguments)
        key = tuple((*leaf.shape, leaf.dtype) for leaf in leaves)
        if key not in self._graphs:
            self._graphs[key] = self._graph(arguments, leaves)
        graph = self._graphs[key]
        outputs = tf.raw_ops.StatefulPartitionedCall(
            args=[*leaves, *graph.captured], Tout=graph.types, f=graph
        )
        return keras.tree.pack_sequence_as(graph.structure, outputs)

    def _graph(self, arguments: Any, leaves: list[Any]) -> _Graph:
        import keras
        import tensorflow as tf

        def on_flat(*flat: Any) -> Any:
            return self._function(*keras.tree.pack_sequence_as(arguments, list(flat)))

        traced = tf.function(on_flat, autograph=False, jit_compile=False)
        concrete = traced.get_concrete_function(*map(tf.convert_to_tensor, leaves))
        return _Graph(
            concrete,
            concrete.name,
            tuple(concrete.captured_inputs),
            tuple(out.dtype for out in concrete.outputs),
            concrete.structured_outputs,
        )
