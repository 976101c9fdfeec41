"""What the exact scorer keeps of one layer for a stretch of the scoring set."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from keras import ops
from numpy.typing import NDArray

from kvasir_prune import backend
from kvasir_prune.importance.program import LayerProgram

REBUILD_EVERY = 64
"""Removals in a layer between two computations of z from scratch; they keep rounding small."""


class LayerCache:
    """A layer's outputs h for some images, and its reader's pre-activation z without some nodes.

    z is a function of the order of removals alone: computed from h at every multiple of
    `REBUILD_EVERY` removals and patched one by one in between, so that a resumed run holds the
    same bits.

    Args:
        program: the layer's steps.
        outputs: (nodes, n, ...) on the device.
        active: (nodes, n), where a node's output is not all zero.
        reader: the reader's arrays, on the device.
        labels: (n,) int32.

    Attributes:
        images: n.
        z: (n, ...) on the device.
    """

    def __init__(
        self,
        program: LayerProgram,
        outputs: Any,
        active: NDArray[np.bool_],
        reader: Any,
        *,
        labels: NDArray[np.int32],
    ) -> None:
        self._program = program
        self._reader = reader
        self.outputs = outputs
        self.active = active
        self.labels = ops.convert_to_tensor(labels)
        self.images = int(outputs.shape[1])
        self.z: Any = None
        self._rows: dict[int, NDArray[np.intp]] = {}
        self._removed: tuple[int, ...] | None = None

    def rows(self, node: int) -> NDArray[np.intp]:
        """Return the positions of the images in which a node's output is not zero."""
        if node not in self._rows:
            self._rows[node] = np.flatnonzero(self.active[node])
        return self._rows[node]

    def move_to(self, removed: tuple[int, ...]) -> None:
        """Bring z to where these nodes of the layer are removed, in this order."""
        rebuilt = len(removed) // REBUILD_EVERY * REBUILD_EVERY
        known = self._removed
        if known is None or len(known) < rebuilt or known != removed[: len(known)]:
            self._rebuild(removed[:rebuilt])
            known = removed[:rebuilt]
        for node in removed[len(known) :]:
            self._patch(node)
        self._removed = removed

    def _rebuild(self, removed: Sequence[int]) -> None:
        kept = np.ones(self.outputs.shape[0], self._program.dtype)
        kept[list(removed)] = 0.0
        kernel, *bias = self._reader
        nodes = np.tile(kept, kernel.shape[-2] // len(kept))
        masked = (kernel * nodes[:, None], *bias)
        parts = self._parts(self.outputs, axis=1)
        self.z = _joined([self._program.preactivation(outputs, masked) for outputs in parts])

    def _patch(self, node: int) -> None:
        nodes = np.asarray([node], np.int32)
        own = self._parts(backend.take(self.outputs, nodes), axis=1)
        self.z = _joined(
            [
                self._program.patched(z, outputs, self._reader[0], nodes)
                for z, outputs in zip(self._parts(self.z, axis=0), own, strict=True)
            ]
        )

    def _parts(self, values: Any, axis: int) -> Iterator[Any]:
        """Yield as many images at a time as a step has."""
        size = self._program.shape.segments * self._program.shape.images
        if self.images <= size:
            yield values
            return
        before = (slice(None),) * axis
        for start in range(0, self.images, size):
            yield values[(*before, slice(start, start + size))]


def _joined(parts: Sequence[Any]) -> Any:
    return ops.concatenate(parts, axis=0) if len(parts) > 1 else parts[0]
