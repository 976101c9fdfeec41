"""The literal way of the thesis, and the same in float64: what every figure is compared with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from kvasir_prune.errors import ModelError
from kvasir_prune.importance.reference import ReferenceScorer
from kvasir_prune.importance.scorer import NO_LIMITS, Nodes, Scorer, finite
from kvasir_prune.models import Chain
from kvasir_prune.types import Limits, LossAccuracy, Scored

Array = NDArray[Any]


class Literal(Scorer):
    """A `Scorer` that zeroes a node's incoming weights, evaluates all images, and restores.

    That removes a node only under ReLU without batch normalisation. The model is a copy in which
    no scorer has a share. It is not compiled with XLA, as the author's was not.

    Args:
        chain: the network.
        inputs: what the layer at `start` reads; (n, height, width, channels) uint8 at 0.
        labels: (n,) int64.
        batch_size: images per step of `evaluate`.
        start: position of the first layer; above 0 the layers before it are left out, and
            `inputs` are their outputs.

    Attributes:
        dtype: of weights and activations.
    """

    dtype = "float32"
    block_width = ReferenceScorer.block_width

    def __init__(
        self,
        chain: Chain,
        inputs: Array,
        labels: NDArray[np.int64],
        *,
        batch_size: int,
        start: int = 0,
    ) -> None:
        _check(chain, start)
        self._inputs, self._labels, self._batch_size = inputs, labels, batch_size
        self._model = _copy(chain, start, inputs.shape[1:], self.dtype)
        self._model.compile(
            loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            metrics=["accuracy"],
            jit_compile=False,
        )
        self._whole: dict[str, list[Array]] = {}
        self._removed: dict[str, frozenset[int]] = {}

    def warm_up(self) -> None:
        """Trace what `evaluate` compiles, on two steps of which the second is not full."""
        count = min(len(self._labels), self._batch_size + 1)
        settings = {"batch_size": self._batch_size, "verbose": 0}
        self._model.evaluate(self._inputs[:count], self._labels[:count], **settings)

    def evaluate(self, removed: Nodes, *, layer: str | None = None) -> LossAccuracy:
        """Return loss and accuracy of the network without the removed nodes."""
        self.remove(removed)
        return finite(self._measure(), None, where="the whole network")

    def score(
        self,
        layer: str,
        removed: Nodes,
        nodes: Sequence[int],
        *,
        limits: Limits = NO_LIMITS,
    ) -> tuple[Scored, ...]:
        """Return loss and accuracy without the removed nodes and one candidate, for each."""
        self.remove(removed)
        scores = []
        for node in nodes:
            kept = self._model.get_layer(layer).get_weights()
            self._model.get_layer(layer).set_weights(_zeroed(kept, [node]))
            value = finite(self._measure(), None, where=f"node {node} of layer {layer}")
            self._model.get_layer(layer).set_weights(kept)
            scores.append(Scored(node, value.loss, value.accuracy))
        return tuple(scores)

    def _measure(self) -> LossAccuracy:
        settings = {"batch_size": self._batch_size, "verbose": 0, "return_dict": True}
        found = self._model.evaluate(self._inputs, self._labels, **settings)
        return LossAccuracy(float(found["loss"]), float(found["accuracy"]))

    def remove(self, removed: Nodes) -> None:
        """Zero the incoming weights of exactly these nodes."""
        for name in {*removed, *self._removed}:
            nodes = frozenset(removed.get(name, ()))
            if nodes != self._removed.get(name, frozenset()):
                layer = self._model.get_layer(name)
                whole = self._whole.setdefault(name, layer.get_weights())
                layer.set_weights(_zeroed(whole, sorted(nodes)))
                self._removed[name] = nodes


class Truth(Literal):
    """The same in float64 from the first layer to the mean loss; weights are those of float32."""

    dtype = "float64"

    def _measure(self) -> LossAccuracy:
        starts = range(0, len(self._labels), self._batch_size)
        steps = (self._inputs[start : start + self._batch_size] for start in starts)
        logits = np.concatenate([np.asarray(self._model(step, training=False)) for step in steps])
        shifted = logits - logits.max(axis=1, keepdims=True)
        right = shifted[np.arange(len(logits)), self._labels]
        losses = np.log(np.exp(shifted).sum(axis=1)) - right
        return LossAccuracy(float(losses.mean()), float(np.mean(right == 0.0)))


def _zeroed(arrays: Sequence[Array], nodes: Sequence[int]) -> list[Array]:
    kernel, bias = (array.copy() for array in arrays)
    kernel[..., nodes], bias[nodes] = 0.0, 0.0
    return [kernel, bias]


def _check(chain: Chain, start: int) -> None:
    for hidden in chain.hidden:
        inside = chain.layers[hidden.producer : hidden.consumer]
        kinds = {type(layer) for layer in inside}
        is_relu = chain.layers[hidden.producer].activation.__name__ == "relu"
        if hidden.producer >= start and (keras.layers.BatchNormalization in kinds or not is_relu):
            raise ModelError(
                "Zeroing a node's incoming weights does not remove it here.",
                where=hidden.name,
                expected="ReLU and no batch normalisation",
            )


def _copy(chain: Chain, start: int, shape: tuple[int, ...], dtype: str) -> Any:
    values = inputs = keras.Input(shape, dtype="uint8" if start == 0 else dtype)
    for layer in chain.layers[start:]:
        values = type(layer).from_config({**layer.get_config(), "dtype": dtype})(values)
    model = keras.Model(inputs, values)
    for layer in chain.layers[start:]:
        arrays = chain.model.get_layer(layer.name).get_weights()
        model.get_layer(layer.name).set_weights(arrays)
    return model
