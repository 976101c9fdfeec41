"""What the exact scorer keeps of one layer for a stretch of the scoring set."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

import numpy as np
from keras import ops
from numpy.typing import NDArray

from kvasir_prune import backend
from kvasir_prune.importance.dominance import dominates, may_dominate
from kvasir_prune.importance.image_losses import ImageLosses
from kvasir_prune.importance.packing import Part, Piece, Step, nobody, packed
from kvasir_prune.importance.program import LayerProgram
from kvasir_prune.importance.sizes import REBUILD_EVERY

ENOUGH_VALUES = 2**16
"""Of z, to see how large it is."""


class LayerCache:
    """A layer's outputs h for some images, and its reader's pre-activation z without some nodes.

    z and the losses are functions of the order of removals alone: computed from h at every multiple
    of `REBUILD_EVERY` removals and brought up to date one by one in between, so that a resumed run
    holds the same bits.

    Args:
        program: the layer's steps.
        outputs: (nodes, n, ...) on the device.
        active: (nodes, n), where a node's output is not all zero.
        suffix: arrays of the reader and of all layers behind it, on the device.
        labels: (n,) int64.
        contributions: what each node contributes at most, as `largest_contributions` gives it.
        count: told how many images were run through the suffix.

    Attributes:
        images: n.
        z: (n, ...) on the device.
        base: the losses with all candidates in place; up to date when `run` gives the first piece.
    """

    def __init__(
        self,
        program: LayerProgram,
        outputs: Any,
        active: NDArray[np.bool_],
        suffix: Any,
        *,
        labels: NDArray[np.int64],
        contributions: NDArray[Any],
        count: Callable[[int], None],
    ) -> None:
        self.program = program
        self._suffix = suffix
        self._count = count
        self.outputs = outputs
        self.active = active
        self.labels = ops.convert_to_tensor(labels, "int32")
        self.images = int(outputs.shape[1])
        self.z: Any = None
        self.base = ImageLosses.empty(self.images, np.dtype(program.dtype))
        self._lead: Part | None = None
        self._is_led = True
        self._shares_steps = program.shape.segments > 1
        self._order = np.arange(self.images)
        self._rows: dict[int, NDArray[np.intp]] = {}
        self._removed: tuple[int, ...] | None = None
        self._contributions = contributions.tolist()
        self._largest: float | None = None

    def rows(self, node: int) -> NDArray[np.intp]:
        """Return the positions of the images in which a node's output is not zero.

        Large losses first, as they were when z was last computed from scratch: an image's place in
        a step must be a function of the ledger.
        """
        if node not in self._rows:
            self._rows[node] = self._order[self.active[node][self._order]]
        return self._rows[node]

    def run(
        self, parts: Iterable[Part | None]
    ) -> Iterator[tuple[list[Piece], NDArray[Any], NDArray[np.bool_]]]:
        """Run pairs of node and image through the suffix, behind what the base losses lack.

        Args:
            parts: as for `packed`.

        Yields:
            What of the parts lies in a step, and for each of its slots the loss and whether the
            prediction is right.
        """
        for step, pieces in packed(chain(self._leading(), parts), self.program.shape):
            losses, correct = self._score(self.z, step, pieces)
            while pieces and pieces[0].part is self._lead:
                self._take_lead(pieces.pop(0), losses, correct)
            yield pieces, losses, correct

    def _score(
        self, z: Any, step: Step, pieces: Sequence[Piece]
    ) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        kept = (self.outputs, z)
        losses, correct = self.program.score(kept, self._suffix, self.labels, tuple(step))
        self._count(sum(len(piece.images) for piece in pieces))
        return np.asarray(losses), np.asarray(correct)

    def dominates(self, node: int) -> bool:
        """Return whether a node contributes too much for being subtracted from z."""
        own = self._contributions[node]
        if self._largest is None or may_dominate(own, self._largest):
            self._largest = self._some_of_z()
        return may_dominate(own, self._largest) and dominates(*self._weigh(node))

    def without(self, node: int) -> ImageLosses:
        """Return all losses without one node more, from z computed anew."""
        assert self._removed is not None
        z = self._z_without((*self._removed, node))
        found = ImageLosses.empty(self.images, self.base.losses.dtype)
        for step, pieces in packed([nobody(self.images)], self.program.shape):
            losses, correct = self._score(z, step, pieces)
            for piece in pieces:
                found.put(piece.images, losses[piece.slots], correct[piece.slots])
        return found

    def _leading(self) -> Iterator[Part]:
        """Give what the base losses lack.

        Where candidates share steps it leads every call, known or not: a candidate's place is then
        the same in a run that was interrupted before the call.
        """
        if self._lead is not None and (self._shares_steps or not self._is_led):
            yield self._lead

    def _take_lead(self, piece: Piece, losses: NDArray[Any], correct: NDArray[np.bool_]) -> None:
        self.base.put(piece.images, losses[piece.slots], correct[piece.slots])
        self._is_led = piece.rows.stop == len(piece.part.rows)

    def _settle(self) -> None:
        """Bring the base losses up to date."""
        if not self._is_led:
            for _ in self.run(()):
                pass

    def move_to(self, removed: tuple[int, ...]) -> None:
        """Bring z and the base losses to where these nodes of the layer are removed, in order."""
        rebuilt = len(removed) // REBUILD_EVERY * REBUILD_EVERY
        known, self._removed = self._removed, None
        if known is None or len(known) < rebuilt or known != removed[: len(known)]:
            self._rebuild(removed[:rebuilt])
            known = removed[:rebuilt]
        for place in range(len(known), len(removed)):
            self._removed = removed[:place]
            self._take_away(removed[place])
        self._removed = removed

    def _take_away(self, node: int) -> None:
        assert self._removed is not None
        if self.dominates(node):
            self._rebuild((*self._removed, node))
        else:
            self._patch(node)

    def jump_to(self, removed: Sequence[int]) -> None:
        """Compute z and the losses without these nodes from scratch; their order means nothing."""
        self._removed = None
        self._rebuild(removed)

    def _rebuild(self, removed: Sequence[int]) -> None:
        self.z, self._largest = self._z_without(removed), None
        self._lead, self._is_led = nobody(self.images), False
        self._settle()
        self._lead = None
        self._order = np.argsort(-self.base.losses, kind="stable")
        self._rows.clear()

    def _patch(self, node: int) -> None:
        if self._shares_steps:
            # Only images in which the node was active have another loss than before.
            self._settle()
            self._lead = Part(node, self.rows(node), 0.0)
        else:
            self._lead = nobody(self.images)
        self._is_led = len(self._lead.rows) == 0
        nodes = np.asarray([node], np.int32)
        if self._largest is not None:
            # A lower bound of what is left.
            self._largest -= self._contributions[node]
        kernel = self._suffix[0][0]
        self.z = _joined(
            [self.program.patched(z, own, kernel, nodes) for z, own in self._with_own(nodes)]
        )

    def _z_without(self, removed: Sequence[int]) -> Any:
        """Return z without some nodes, from the layer's outputs."""
        kept = np.ones(self.outputs.shape[0], self.program.dtype)
        kept[list(removed)] = 0.0
        kernel, *bias = self._suffix[0]
        nodes = np.tile(kept, kernel.shape[-2] // len(kept))
        masked = (kernel * nodes[:, None], *bias)
        parts = self._parts(self.outputs, axis=1)
        return _joined([self.program.preactivation(outputs, masked) for outputs in parts])

    def _some_of_z(self) -> float:
        """Return a lower bound of z's largest absolute value: that of the first images."""
        some = self.z[: max(1, ENOUGH_VALUES // math.prod(self.z.shape[1:]))]
        return float(np.abs(np.asarray(some)).max())

    def _weigh(self, node: int) -> tuple[float, float]:
        """Return the largest absolute values of a node's contribution and of z without it."""
        nodes, kernel = np.asarray([node], np.int32), self._suffix[0][0]
        found = [self.program.weighed(z, own, kernel, nodes) for z, own in self._with_own(nodes)]
        contributions, left = zip(*found, strict=True)
        return max(map(float, contributions)), max(map(float, left))

    def _with_own(self, nodes: NDArray[np.int32]) -> Iterator[tuple[Any, Any]]:
        """Yield parts of z, and a node's own outputs on the same images."""
        own = self._parts(backend.take(self.outputs, nodes), axis=1)
        return zip(self._parts(self.z, axis=0), own, strict=True)

    def _parts(self, values: Any, axis: int) -> Iterator[Any]:
        """Yield as many images at a time as a step has."""
        size = self.program.shape.segments * self.program.shape.images
        if self.images <= size:
            yield values
            return
        before = (slice(None),) * axis
        for start in range(0, self.images, size):
            yield values[(*before, slice(start, start + size))]


def _joined(parts: Sequence[Any]) -> Any:
    return ops.concatenate(parts, axis=0) if len(parts) > 1 else parts[0]
