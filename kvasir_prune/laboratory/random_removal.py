"""Networks without nodes drawn at random (thesis section 4.1, Algorithm 1), many draws of each.

Nothing is removed for good: every draw is one evaluation of the trained network.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kvasir_prune.config.sweep import RandomRemoval
from kvasir_prune.experiment.context import Run
from kvasir_prune.experiment.strategies import check_nodes
from kvasir_prune.laboratory.draw_store import FILE, store_of
from kvasir_prune.ledger.committer import Committer
from kvasir_prune.ledger.recovery import set_aside
from kvasir_prune.pruning.random_removal import draw
from kvasir_prune.types import LossAccuracy

if TYPE_CHECKING:
    from kvasir_prune.models import Chain


class Draws:
    """Draws nodes of a network and measures what is left of it.

    Args:
        run: whose images.
        chain: the network.
        asked: how many nodes are drawn at most, and on which split is measured.

    Attributes:
        scorer: that measures.
        layers: whose nodes are drawn.

    Raises:
        ModelError: the network has not so many nodes to give.
    """

    def __init__(self, run: Run, chain: Chain, asked: RandomRemoval) -> None:
        from kvasir_prune.importance.scorers import scorer_of

        self.layers = [hidden.size for hidden in chain.hidden]
        check_nodes(max(asked.nodes), self.layers, where="random_removal.nodes")
        self.scorer = scorer_of(run.config.importance, chain, run.scoring_set(asked.split))
        self._seed = run.config.seed

    def measure(self, nodes: int, number: int) -> LossAccuracy:
        """Return loss and accuracy without the nodes of a draw."""
        drawn = draw(self._seed, self.layers, nodes, number)
        return self.scorer.evaluate_unordered(
            {layer.name: of_it for layer, of_it in zip(self.layers, drawn, strict=True)}
        )


def remove_at_random(run: Run, asked: RandomRemoval) -> None:
    """Measure every draw that is missing.

    Args:
        run: with its trained network.
        asked: how many draws, of how many nodes.

    Raises:
        ModelError: the network has not so many nodes to give.
        StorageError: the file system does not take the draws.
    """
    draws = Draws(run, run.chain, asked)
    store = store_of(run.folder, asked, run.origin)
    if store.is_foreign:
        kept = set_aside(store.path).name
        run.progress.note(f"{FILE} is damaged, or another network's, and kept as {kept}")
    missing = store.missing(asked)
    scorer, last = draws.scorer, draws.layers[-1].name
    scorer.halve(last, store.halvings)
    with (
        run.progress.task("Nodes removed at random", asked.draws) as task,
        Committer(store, run.config.pruning.commit_every_s) as committer,
    ):
        task.advance(asked.draws - len(missing))
        for nodes, number in missing:
            value = draws.measure(nodes, number)
            # First: a draw must not be committed without the halving that it came behind.
            store.halvings = scorer.halvings(last)
            store.record(nodes, number, value)
            committer.recorded()
            task.advance(nodes=nodes)
