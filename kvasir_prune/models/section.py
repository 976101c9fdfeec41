"""A stretch of a chain, compiled, applied to any number of images in steps of one fixed shape.

TensorFlow's kernels give other last bits for other batch shapes, so the last step is padded with
zeros and what comes of the padding is dropped.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from kvasir_prune import backend
from kvasir_prune.models.chain import Chain
from kvasir_prune.models.forward import Weights, run

Array = NDArray[Any]


def batches(values: Array, rows: NDArray[np.intp], size: int) -> Iterator[tuple[Array, int]]:
    """Cut chosen rows into steps of exactly `size` rows.

    Args:
        values: (n, ...) array, a memory map for instance; only the chosen rows are read.
        rows: positions to take, in order.
        size: rows of a step.

    Yields:
        A step of shape (size, ...) and the number of its rows that are not padding.
    """
    for start in range(0, len(rows), size):
        chosen = values[rows[start : start + size]]
        missing = size - len(chosen)
        if missing:
            chosen = np.concatenate([chosen, np.zeros((missing, *chosen.shape[1:]), chosen.dtype)])
        yield chosen, size - missing


class Section:
    """The layers `start` to `stop` (exclusive) of a chain as one compiled function.

    Args:
        chain: the network.
        start, stop: positions in `chain.layers`; `stop` None goes on to the logits.
    """

    def __init__(self, chain: Chain, start: int = 0, stop: int | None = None) -> None:
        self._span = slice(start, len(chain.layers) if stop is None else stop)

        def step(weights: Any, values: Any) -> Any:
            whole = (*((),) * self._span.start, *weights)
            return run(chain, whole, values, self._span.start, self._span.stop)

        def gated(weights: Any, values: Any, gate: Any) -> Any:
            return step(weights, values * gate)

        self._step, self._gated = backend.compiled(step), backend.compiled(gated)

    def load(self, weights: Weights) -> Any:
        """Bring the section's weights to the device once, for many calls of `apply`."""
        return tuple(
            tuple(keras.ops.convert_to_tensor(array) for array in layer)
            for layer in weights[self._span]
        )

    def apply(
        self, loaded: Any, steps: Iterable[tuple[Array, int]], gate: Array | None = None
    ) -> Iterator[Array]:
        """Run every step.

        Args:
            loaded: what `load` gave.
            steps: what `batches` gives.
            gate: factor on the section's input, broadcast over the batch, or None.

        Yields:
            The section's output without the padding, float32.
        """
        for values, real in steps:
            if gate is None:
                yield np.asarray(self._step(loaded, values))[:real]
            else:
                yield np.asarray(self._gated(loaded, values, gate))[:real]
