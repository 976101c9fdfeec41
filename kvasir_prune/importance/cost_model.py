"""What scoring one layer costs in multiply-adds and bytes, counted from shapes alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kvasir_prune.importance.sizes import kept_bytes, sizes_for
from kvasir_prune.models.chain import Chain, Hidden
from kvasir_prune.models.forward import Weights
from kvasir_prune.models.work import multiply_adds_of, values_of


@dataclass(frozen=True)
class LayerWork:
    """Multiply-adds for one image.

    Attributes:
        before: of all layers up to the candidates' own.
        reading: of the next linear layer, their reader.
        behind: of all layers behind the reader.
        nodes: of the candidates' layer.
    """

    before: int
    reading: int
    behind: int
    nodes: int

    @property
    def prefix_pass(self) -> int:
        """Of what the exact scorer runs once for a layer."""
        return self.before + self.reading

    @property
    def pair(self) -> int:
        """Of one candidate on one image, by the exact scorer."""
        return self.reading // self.nodes + self.behind

    @property
    def suffix(self) -> int:
        """Of one candidate on one image, by the reference scorer."""
        return self.reading + self.behind

    def evaluation(self, scorer: str) -> int:
        """Of one candidate on one image, by the scorer of that name."""
        return self.suffix if scorer == "reference" else self.pair


@dataclass(frozen=True)
class Footprint:
    """What is kept in memory while a layer is scored.

    Attributes:
        kept: bytes of activations at the peak.
        streamed: whether they exceed the budget, so that the prefix is run again for every block.
        block_width: candidates of a block, at most.
        in_vain: candidates scored behind a removal, which makes them worthless, on the average.
    """

    kept: int
    streamed: bool
    block_width: int
    in_vain: float


def work_of(chain: Chain, weights: Weights, hidden: Hidden) -> LayerWork:
    """Count the work for one layer.

    Args:
        chain: the network.
        weights: of the whole chain; other layers than this one may have been cut.
        hidden: the layer whose nodes are candidates.
    """
    reader = hidden.consumer
    return LayerWork(
        multiply_adds_of(chain, weights, 0, reader),
        multiply_adds_of(chain, weights, reader, reader + 1),
        multiply_adds_of(chain, weights, reader + 1, len(chain.layers)),
        hidden.nodes,
    )


def footprint_of(
    chain: Chain, hidden: Hidden, images: int, *, scorer: str, batch_size: int, budget_bytes: float
) -> Footprint:
    """Return what the scorer keeps of a layer.

    Args:
        chain: the network.
        hidden: the layer.
        images: of the scoring set.
        scorer: "exact" or "reference".
        batch_size: images per step of the prefix, at most.
        budget_bytes: for the activations that are kept.
    """
    if scorer == "reference":
        size = np.dtype(chain.dtype).itemsize * values_of(chain, hidden.consumer - 1) * images
        streamed = size > budget_bytes
        return Footprint(0 if streamed else size, streamed, 1, 0.0)
    sizes = sizes_for(chain, hidden, images, batch_size=batch_size, budget_bytes=budget_bytes)
    kept = sizes.stretch * kept_bytes(chain, hidden)
    streamed, step = sizes.stretch < images, sizes.step
    in_vain = 0.0 if step.segments == 1 else step.segments * step.images / images / 2
    if streamed:
        in_vain = (sizes.block_width - 1) / 2
    return Footprint(kept, streamed, sizes.block_width, in_vain)
