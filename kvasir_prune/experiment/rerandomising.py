"""Drawing initial weights anew until enough nodes are important (thesis section 4.9, Algorithm 7).

Where this differs from the algorithm as printed: the limits of the uniform distribution are those
of Glorot and Bengio for the kernel that is drawn, which the printed ones are not behind a Flatten;
the tries are bounded; and where they do not suffice, the best try stays, not the last.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kvasir_prune.config.method import Rerandomisation
from kvasir_prune.experiment.context import Run
from kvasir_prune.experiment.drawn_weights import DrawnWeights, Draws, LayerDraws
from kvasir_prune.ledger.committer import Committer
from kvasir_prune.models import Hidden, read_chain

Kernel = NDArray[np.float32]


def rerandomise(run: Run, model: Any, asked: Rerandomisation) -> list[dict[str, Any]]:
    """Draw the weights of unimportant nodes anew, layer by layer, from the first to the last.

    Every try is committed; killed, it goes on behind the last one, to the same weights.

    Args:
        run: gives the scoring set, the threshold and the seed.
        model: freshly built; its weights are changed.
        asked: how many nodes are to be important.

    Returns:
        A `LayerDraws` for every hidden layer, first to last, as JSON values.

    Raises:
        LedgerError: the file of the tries is damaged.
    """
    store, hidden = DrawnWeights(run.folder.drawn_weights, run.origin), read_chain(model).hidden
    begun = store.last or Draws(model.get_weights())
    model.set_weights(begun.weights)
    with (
        run.progress.task("Initial weights drawn anew", len(hidden)) as task,
        Committer(store, run.config.pruning.commit_every_s) as committer,
    ):
        task.advance(len(begun.done))
        done = begun.done
        for store.last in _tries(run, model, hidden, asked, begun):
            committer.recorded()
            for drawn in store.last.done[len(done) :]:
                task.advance(layer=drawn.layer, important=f"{drawn.important:.0%}")
                if not drawn.reached:
                    run.progress.note(
                        f"{drawn.layer}: {drawn.important:.0%} of the nodes are important, not "
                        f"more than {asked.minimum_important:.0%}; tries: {drawn.tries}"
                    )
            done = store.last.done
    return [asdict(one) for one in done]


def _tries(
    run: Run, model: Any, hidden: Sequence[Hidden], asked: Rerandomisation, draws: Draws
) -> Iterator[Draws]:
    """Yield what every step leaves: nodes measured, weights drawn, or a layer finished."""
    while len(draws.done) < len(hidden):
        number = len(draws.done)
        layer, nodes = hidden[number], draws.unimportant
        if nodes is None:
            nodes = _unimportant(run, model, layer)
            draws = replace(
                draws,
                unimportant=nodes,
                first=len(nodes),
                fewest=len(nodes),
                best=draws.weights,
            )
        elif draws.tries < asked.tries and _share(layer, nodes) <= asked.minimum_important:
            generator = np.random.default_rng([run.config.seed, 7, number, draws.tries])
            _draw(model, layer, nodes, generator, incoming=number == 0)
            nodes, weights = _unimportant(run, model, layer), model.get_weights()
            draws = replace(draws, weights=weights, tries=draws.tries + 1, unimportant=nodes)
            if len(nodes) < draws.fewest:
                draws = replace(draws, fewest=len(nodes), best=weights)
        else:
            model.set_weights(draws.best)
            draws = Draws(draws.best, (*draws.done, _finished(layer, draws, asked)))
        yield draws


def _finished(layer: Hidden, draws: Draws, asked: Rerandomisation) -> LayerDraws:
    first, important = (1 - number / layer.nodes for number in (draws.first, draws.fewest))
    reached = important > asked.minimum_important
    return LayerDraws(layer.name, first, important, draws.tries, reached)


def _share(hidden: Hidden, unimportant: Sequence[int]) -> float:
    return 1 - len(unimportant) / hidden.nodes


def _unimportant(run: Run, model: Any, hidden: Hidden) -> tuple[int, ...]:
    """Return the nodes of a layer that are zero or worse, in the network as it stands."""
    from kvasir_prune.importance.scorers import scorer_of

    settings = run.config.importance
    scorer = scorer_of(settings, read_chain(model), run.scoring_set(settings.split))
    baseline, nodes = scorer.evaluate({}).loss, tuple(range(hidden.nodes))
    found = list[int]()
    while nodes:
        scored = scorer.score(hidden.name, {}, nodes[: scorer.block_width(hidden.name)])
        found += [one.node for one in scored if baseline - one.loss >= settings.low]
        nodes = nodes[len(scored) :]
    return tuple(found)


def _draw(
    model: Any,
    hidden: Hidden,
    nodes: Sequence[int],
    generator: np.random.Generator,
    *,
    incoming: bool,
) -> None:
    """Draw the outgoing weights of nodes, and for the first layer their incoming ones too."""
    layers = read_chain(model).layers
    # By name: the chain may hold a twin of the output layer, without its softmax.
    reader, layer = (
        model.get_layer(layers[place].name) for place in (hidden.consumer, hidden.producer)
    )
    kernel, *others = reader.get_weights()
    shape = (*kernel.shape[:-2], hidden.positions, hidden.nodes, kernel.shape[-1])
    by_node = kernel.reshape(shape)
    by_node[..., list(nodes), :] = _glorot(kernel, by_node[..., list(nodes), :].shape, generator)
    reader.set_weights([by_node.reshape(kernel.shape), *others])
    if incoming:
        kernel, *others = layer.get_weights()
        kernel[..., list(nodes)] = _glorot(kernel, kernel[..., list(nodes)].shape, generator)
        layer.set_weights([kernel, *others])


def _glorot(kernel: Kernel, shape: tuple[int, ...], generator: np.random.Generator) -> Kernel:
    """Return Glorot-uniform weights (Glorot and Bengio 2010, eq. 16) for a part of a kernel."""
    field = math.prod(kernel.shape[:-2])
    limit = math.sqrt(6 / (field * (kernel.shape[-2] + kernel.shape[-1])))
    return generator.uniform(-limit, limit, shape).astype(kernel.dtype)
