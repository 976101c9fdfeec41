"""The sizes of every layer of a network, halved where memory did not suffice."""

from __future__ import annotations

from kvasir_prune.importance.sizes import Sizes, sizes_for, worth_keeping
from kvasir_prune.models.chain import Chain, Hidden


class Sizing:
    """Knows how large the steps, blocks and stretches of each layer are.

    Args:
        chain: the network.
        images: of the scoring set.
        batch_size: images per step of a prefix, at most.
        budget_bytes: for the activations that are kept.
    """

    def __init__(self, chain: Chain, images: int, *, batch_size: int, budget_bytes: float) -> None:
        self._chain = chain
        self._images = images
        self._budget_bytes = budget_bytes
        self._halvings = {hidden.name: 0 for hidden in chain.hidden}
        self._sizes = {
            hidden.name: sizes_for(
                chain, hidden, images, batch_size=batch_size, budget_bytes=budget_bytes
            )
            for hidden in chain.hidden
        }

    def of(self, layer: str) -> Sizes:
        """Return the sizes of a layer."""
        return self._sizes[self._chain.find(layer).name].halved(self.halvings(layer))

    def halvings(self, layer: str) -> int:
        """Return how often the sizes of a layer were halved."""
        return self._halvings[self._chain.find(layer).name]

    def halve(self, layer: str, times: int) -> None:
        """Set how often the sizes of a layer are halved."""
        self._halvings[self._chain.find(layer).name] = times

    def beside(self, hidden: Hidden) -> tuple[Hidden, ...]:
        """Return the layers before one, first to last, whose outputs are kept on the way to it."""
        if self.of(hidden.name).stretch < self._images or self.halvings(hidden.name):
            return ()
        kept = worth_keeping(self._chain, hidden, self._images, self._budget_bytes)
        # A halved layer's outputs come from steps of its own size, or a resumed run has other bits.
        return tuple(layer for layer in kept if not self.halvings(layer.name))
