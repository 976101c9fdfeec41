"""One layer made ready for exact scoring: its outputs known, its suffix cut, its steps compiled."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from keras import ops

from kvasir_prune.importance.cost_model import work_of
from kvasir_prune.importance.layer_cache import LayerCache
from kvasir_prune.importance.prefix import LayerOutputs, Prefix
from kvasir_prune.importance.program import LayerProgram
from kvasir_prune.importance.scoring_set import ScoringSet
from kvasir_prune.importance.sizes import Sizes
from kvasir_prune.importance.work import Work
from kvasir_prune.models.chain import Chain
from kvasir_prune.models.forward import Weights


class PreparedLayer:
    """A layer with weights from which the removed nodes of all other layers are cut.

    Args:
        chain: the network.
        program: steps of the layer, which is not cut itself.
        weights: of the whole chain, cut.
        scoring_set: the images.
        prefix: runs up to the layer's reader; brings outputs of other layers too.
        sizes: of steps and stretches.
        work: is counted up for every pass of the prefix.
        outputs: of the layer on all images, if they are known already.

    Attributes:
        beside: layer name -> outputs of layers before it that came by.
    """

    def __init__(
        self,
        chain: Chain,
        program: LayerProgram,
        weights: Weights,
        scoring_set: ScoringSet,
        *,
        prefix: Prefix,
        sizes: Sizes,
        work: Work,
        outputs: LayerOutputs | None,
    ) -> None:
        self.program = program
        self.hidden = program.hidden
        self._set = scoring_set
        self._prefix = prefix
        self._sizes = sizes
        self._work = work
        self._outputs = outputs
        reader = self.hidden.consumer
        self._kernel = weights[reader][0]
        self._weights = _loaded(weights[:reader]) if outputs is None else ()
        self._suffix = _loaded(weights[reader:])
        cost = work_of(chain, weights, self.hidden)
        self._prefix_work, self._reading_work = cost.before, cost.reading
        self._pair_work = cost.pair
        self.beside: dict[str, LayerOutputs] = {}
        self._kept: LayerCache | None = None

    def stretches(self) -> Iterator[tuple[slice, LayerCache]]:
        """Give what is kept, or compute it stretch by stretch.

        Yields:
            The stretch of the scoring set and its cache.
        """
        size = self._sizes.stretch
        for start in range(0, len(self._set), size):
            stretch = slice(start, min(start + size, len(self._set)))
            cache = self._kept or self._computed(stretch)
            if size == len(self._set):
                self._kept, self._outputs, self._weights = cache, None, ()
            yield stretch, cache

    def _computed(self, stretch: slice) -> LayerCache:
        own = self._outputs.of(stretch) if self._outputs else self._run_prefix(stretch)
        self._work.multiply_adds += own.active.shape[1] * self._reading_work
        values = ops.convert_to_tensor(own.values)
        return LayerCache(
            self.program,
            values,
            own.active,
            self._suffix,
            labels=self._set.labels[stretch],
            contributions=self.program.contributions(own.values, self._kernel),
            count=self._count,
        )

    def _count(self, images: int) -> None:
        self._work.images += images
        self._work.multiply_adds += images * self._pair_work

    def _run_prefix(self, stretch: slice) -> LayerOutputs:
        self._work.multiply_adds += (stretch.stop - stretch.start) * self._prefix_work
        found = self._prefix.run(self._weights, self._set, stretch, self._sizes.prefix_batch)
        own = found.pop(self.hidden.name)
        self.beside = found
        return own


def _loaded(weights: Weights) -> Any:
    """Bring weights to the device."""
    return tuple(tuple(ops.convert_to_tensor(array) for array in layer) for layer in weights)
