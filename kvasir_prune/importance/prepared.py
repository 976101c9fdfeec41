"""One layer made ready for exact scoring: its prefix run, its suffix cut, its steps compiled."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from keras import ops
from numpy.typing import NDArray

from kvasir_prune.importance.cost_model import work_of
from kvasir_prune.importance.layer_cache import LayerCache
from kvasir_prune.importance.program import LayerProgram
from kvasir_prune.importance.sizes import Sizes
from kvasir_prune.importance.work import Work
from kvasir_prune.models.chain import Chain
from kvasir_prune.models.forward import Weights
from kvasir_prune.models.section import batches


@dataclass(frozen=True)
class ScoringSet:
    """The images on which losses are measured.

    Attributes:
        images: (n, height, width, channels) uint8, may be a memory map.
        rows: which of the images.
        labels: (len(rows),) int32.
    """

    images: NDArray[np.uint8]
    rows: NDArray[np.intp]
    labels: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.rows)


class PreparedLayer:
    """A layer with weights from which the removed nodes of all other layers are cut.

    Args:
        chain: the network.
        program: steps of the layer, which is not cut itself.
        weights: of the whole chain, cut.
        scoring_set: the images.
        sizes: of steps and stretches.
        work: is counted up for every pass of the prefix.

    Attributes:
        suffix: arrays of the reader and of all layers behind it, on the device.
        pair_work: multiply-adds for one pair of candidate and image.
    """

    def __init__(
        self,
        chain: Chain,
        program: LayerProgram,
        weights: Weights,
        scoring_set: ScoringSet,
        *,
        sizes: Sizes,
        work: Work,
    ) -> None:
        self.program = program
        self.hidden = program.hidden
        self._set = scoring_set
        self._sizes = sizes
        self._work = work
        reader = self.hidden.consumer
        self._prefix = _loaded(weights[:reader])
        self.suffix = _loaded(weights[reader:])
        cost = work_of(chain, weights, self.hidden)
        self._pass_work, self.pair_work = cost.prefix_pass, cost.pair
        self._kept: LayerCache | None = None

    def stretches(self) -> Iterator[tuple[slice, LayerCache, NDArray[np.int32]]]:
        """Give what is kept, or compute it stretch by stretch.

        Yields:
            The stretch of the scoring set, its cache, and its labels.
        """
        size = self._sizes.stretch
        for start in range(0, len(self._set), size):
            stretch = slice(start, min(start + size, len(self._set)))
            cache = self._kept or self._computed(stretch)
            if size == len(self._set):
                self._kept = cache
            yield stretch, cache, self._set.labels[stretch]

    def _computed(self, stretch: slice) -> LayerCache:
        """Run the prefix over a stretch."""
        images = stretch.stop - stretch.start
        self._work.multiply_adds += images * self._pass_work
        outputs: NDArray[Any] = np.empty(0)
        active = np.empty((self.hidden.nodes, images), np.bool_)
        filled = 0
        rows = self._set.rows[stretch]
        for step, real in batches(self._set.images, rows, self._sizes.prefix_batch):
            part, awake = (np.asarray(x) for x in self.program.outputs(self._prefix, step))
            if not filled:
                outputs = np.empty((part.shape[0], images, *part.shape[2:]), part.dtype)
            outputs[:, filled : filled + real] = part[:, :real]
            active[:, filled : filled + real] = awake[:, :real]
            filled += real
        return LayerCache(self.program, ops.convert_to_tensor(outputs), active, self.suffix[0])


def _loaded(weights: Weights) -> Any:
    """Bring weights to the device."""
    return tuple(tuple(ops.convert_to_tensor(array) for array in layer) for layer in weights)
