"""Drawing initial weights anew until enough nodes are important (thesis section 4.9, Algorithm 7).

Where this differs from the algorithm as printed: the limits of the uniform distribution are those
of Glorot and Bengio for the kernel that is drawn, which the printed ones are not behind a Flatten;
the tries are bounded; and where they do not suffice, the best try stays, not the last.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kvasir_prune.config.method import Rerandomisation
from kvasir_prune.experiment.context import Run
from kvasir_prune.models import Hidden, read_chain

Kernel = NDArray[np.float32]


@dataclass(frozen=True)
class LayerDraws:
    """What came of one layer.

    Attributes:
        layer: its name.
        important_at_first, important: shares of its nodes, of the initial weights and at the end.
        tries: how often weights were drawn.
        reached: whether the share that was asked for is exceeded.
    """

    layer: str
    important_at_first: float
    important: float
    tries: int
    reached: bool


def rerandomise(run: Run, model: Any, asked: Rerandomisation) -> list[dict[str, Any]]:
    """Draw the weights of unimportant nodes anew, layer by layer, from the first to the last.

    A function of the configuration: killed, it is done again to the same weights.

    Args:
        run: gives the scoring set, the threshold and the seed.
        model: freshly built; its weights are changed.
        asked: how many nodes are to be important.

    Returns:
        A `LayerDraws` for every hidden layer, first to last, as JSON values.
    """
    found = []
    hidden = read_chain(model).hidden
    with run.progress.task("Initial weights drawn anew", len(hidden)) as task:
        for number, layer in enumerate(hidden):
            drawn = _layer(run, model, layer, number, asked)
            found.append(asdict(drawn))
            task.advance(layer=layer.name, important=f"{drawn.important:.0%}")
            if not drawn.reached:
                run.progress.note(
                    f"{layer.name}: {drawn.important:.0%} of the nodes are important, not more "
                    f"than {asked.minimum_important:.0%}; tries: {drawn.tries}"
                )
    return found


def _layer(run: Run, model: Any, hidden: Hidden, number: int, asked: Rerandomisation) -> LayerDraws:
    first = unimportant = _unimportant(run, model, hidden)
    fewest, best, tries = len(first), model.get_weights(), 0
    while tries < asked.tries and _share(hidden, unimportant) <= asked.minimum_important:
        generator = np.random.default_rng([run.config.seed, 7, number, tries])
        _draw(model, hidden, unimportant, generator, incoming=number == 0)
        tries += 1
        unimportant = _unimportant(run, model, hidden)
        if len(unimportant) < fewest:
            fewest, best = len(unimportant), model.get_weights()
    model.set_weights(best)
    important = 1 - fewest / hidden.nodes
    return LayerDraws(
        hidden.name,
        _share(hidden, first),
        important,
        tries,
        important > asked.minimum_important,
    )


def _share(hidden: Hidden, unimportant: Sequence[int]) -> float:
    return 1 - len(unimportant) / hidden.nodes


def _unimportant(run: Run, model: Any, hidden: Hidden) -> list[int]:
    """Return the nodes of a layer that are zero or worse, in the network as it stands."""
    from kvasir_prune.importance.scorers import scorer_of

    settings = run.config.importance
    scorer = scorer_of(settings, read_chain(model), run.scoring_set(settings.split))
    baseline, nodes = scorer.evaluate({}).loss, tuple(range(hidden.nodes))
    found = []
    while nodes:
        scored = scorer.score(hidden.name, {}, nodes[: scorer.block_width(hidden.name)])
        found += [one.node for one in scored if baseline - one.loss >= settings.low]
        nodes = nodes[len(scored) :]
    return found


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
