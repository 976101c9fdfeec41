"""From the configuration to the strategy, with what it has to know beforehand."""

from __future__ import annotations

from collections.abc import Sequence

from kvasir_prune.config import RunConfig
from kvasir_prune.errors import ModelError
from kvasir_prune.importance.store import ImportanceStore
from kvasir_prune.pruning import (
    Exhaustive,
    Greedy,
    PreCalculated,
    Random,
    RandomWhileImproving,
    Strategy,
)
from kvasir_prune.types import LayerSize


def strategy_of(config: RunConfig, layers: Sequence[LayerSize], store: ImportanceStore) -> Strategy:
    """Return the configured strategy for a job on these layers.

    Args:
        config: of the run.
        layers: the job's, in order of work.
        store: the importances of the whole network; they hold these layers' where the strategy
            is `pre_calculated`.
    """
    settings, low = config.pruning, config.importance.low
    match settings.strategy:
        case "greedy":
            return Greedy(low, settings.ignore_below)
        case "exhaustive":
            return Exhaustive(low)
        case "pre_calculated":
            return PreCalculated(low, importances(store, layers))
        case "random":
            return Random(config.seed, settings.nodes or 0, settings.draw)
        case "random_while_improving":
            return RandomWhileImproving(
                config.seed, settings.nodes_at_a_time or 0, settings.tries or 0, settings.draw
            )


def importances(
    store: ImportanceStore, layers: Sequence[LayerSize]
) -> tuple[tuple[float, ...], ...]:
    """Return for each of these layers the importance (nats) of every node, by index."""
    by_name: dict[str, dict[int, float]] = {layer.name: {} for layer in store.layers}
    for measured in store.measured:
        by_name[store.layers[measured.layer].name][measured.node] = measured.importance
    return tuple(
        tuple(by_name[layer.name][node] for node in range(layer.nodes)) for layer in layers
    )


def check_nodes(nodes: int | None, layers: Sequence[LayerSize], *, where: str) -> None:
    """Refuse to remove more nodes at random than the layers have to give.

    Raises:
        ModelError: one node of each layer could not stay.
    """
    available = sum(layer.nodes - 1 for layer in layers)
    if nodes is not None and nodes > available:
        raise ModelError(
            "There are not so many nodes to remove: every layer keeps one.",
            where=where,
            got=nodes,
            expected=f"at most {available}",
            fix="lower the number, or take more layers",
        )
