"""Making layers ready for exact scoring, one after the other, with what came by on the way."""

from __future__ import annotations

from collections.abc import Mapping

from kvasir_prune.importance.prefix import LayerOutputs, Prefix, Prefixes
from kvasir_prune.importance.prepared import PreparedLayer
from kvasir_prune.importance.program import LayerProgram
from kvasir_prune.importance.scorer import Nodes
from kvasir_prune.importance.scoring_set import ScoringSet
from kvasir_prune.importance.sizing import Sizing
from kvasir_prune.importance.work import Work
from kvasir_prune.models.chain import Chain, Hidden
from kvasir_prune.models.forward import weights_of
from kvasir_prune.models.surgery import cut_weights

Removed = Mapping[str, frozenset[int]]
"""Layer name -> nodes that are removed in it."""


class Preparation:
    """Holds one layer at a time, its compiled steps, and outputs of layers still to come.

    Args:
        chain: the network.
        scoring_set: the images that judge the nodes.
        sizing: of steps, blocks and stretches.
        work: is counted up.
        prefixes: makes a prefix.
    """

    def __init__(
        self,
        chain: Chain,
        scoring_set: ScoringSet,
        sizing: Sizing,
        work: Work,
        *,
        prefixes: Prefixes,
    ) -> None:
        self._chain = chain
        self._weights = weights_of(chain)
        self._set = scoring_set
        self._sizing = sizing
        self._work = work
        self._make_prefix = prefixes
        self._programs: dict[str, LayerProgram] = {}
        self._prefixes: dict[tuple[Hidden, ...], Prefix] = {}
        self._beside: dict[str, tuple[Removed, LayerOutputs]] = {}
        self._prepared: PreparedLayer | None = None
        self._elsewhere: Removed = {}

    def of(self, layer: str, removed: Nodes) -> PreparedLayer:
        """Return a layer with the nodes removed in all others cut out; the last one is let go."""
        elsewhere = {n: frozenset(nodes) for n, nodes in removed.items() if n != layer and nodes}
        last = self._prepared
        if last is not None and (last.hidden.name, self._elsewhere) == (layer, elsewhere):
            return last
        self._collect_outputs()
        self._prepared = None
        hidden, sizes = self._chain.find(layer), self._sizing.of(layer)
        if layer not in self._programs:
            self._programs[layer] = LayerProgram(self._chain, hidden, sizes.step, fused=sizes.fused)
        self._elsewhere = elsewhere
        self._prepared = PreparedLayer(
            self._chain,
            self._programs[layer],
            cut_weights(self._chain, self._weights, elsewhere),
            self._set,
            prefix=self._prefix(hidden),
            sizes=sizes,
            work=self._work,
            outputs=self._known_outputs(hidden),
        )
        return self._prepared

    def forget(self, layer: str) -> None:
        """Let go of everything that rests on the sizes of a layer."""
        self._programs.pop(layer, None)
        self._prepared = None
        self._beside.clear()

    def _prefix(self, hidden: Hidden) -> Prefix:
        """Return the prefix of the layer and of the uncut layers before it that fit in memory."""
        beside = self._sizing.beside(hidden)
        before = (layer for layer in beside if layer.name not in self._elsewhere)
        layers = (*before, hidden)
        if layers not in self._prefixes:
            self._prefixes[layers] = self._make_prefix(self._chain, layers)
        return self._prefixes[layers]

    def _collect_outputs(self) -> None:
        """Take over what came by when the last layer was prepared."""
        if self._prepared is not None:
            for name, outputs in self._prepared.beside.items():
                self._beside[name] = (self._removed_before(name), outputs)

    def _known_outputs(self, hidden: Hidden) -> LayerOutputs | None:
        removed, outputs = self._beside.pop(hidden.name, (None, None))
        return outputs if removed == self._removed_before(hidden.name) else None

    def _removed_before(self, layer: str) -> Removed:
        """Return what is removed in the layers whose outputs the layer's own depend on."""
        place = self._chain.find(layer).producer
        before = {h.name for h in self._chain.hidden if h.producer < place}
        return {name: nodes for name, nodes in self._elsewhere.items() if name in before}
