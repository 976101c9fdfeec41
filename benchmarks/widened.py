"""The network of a problem with other numbers of nodes, trained in the same way."""

from __future__ import annotations

from dataclasses import replace

import keras

from benchmarks.problem import Problem
from kvasir_prune.models import Chain, read_chain
from kvasir_prune.models.file import load_model
from kvasir_prune.progress import Progress
from kvasir_prune.publish import publishing
from kvasir_prune.training.fit import train


def with_width(problem: Problem, factor: float, progress: Progress) -> Problem:
    """Return the problem with a network whose hidden layers are wider by a factor.

    Args:
        problem: its weights are not reused; a network trained before is, from its folder.
        factor: on the nodes of every hidden layer, at least one is left.
        progress: told of the training.
    """
    path = problem.folder / f"width-{factor:g}" / "model.keras"
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        config = problem.config
        model = _untrained(problem.chain, factor, config.seed)
        progress.note(f"Training a network {factor:g} times as wide")
        for _ in train(
            model,
            problem.dataset,
            config.training,
            path.parent,
            seed=config.seed,
            progress=progress,
        ):
            pass
        with publishing(path) as temporary:
            model.save(temporary)
    return replace(problem, chain=read_chain(load_model(path)))


def _untrained(chain: Chain, factor: float, seed: int) -> keras.Model:
    keras.utils.set_random_seed(seed)
    nodes = {hidden.name: max(1, round(hidden.nodes * factor)) for hidden in chain.hidden}

    def resized(layer: keras.layers.Layer) -> keras.layers.Layer:
        settings = layer.get_config()
        if layer.name in nodes:
            key = "units" if isinstance(layer, keras.layers.Dense) else "filters"
            settings[key] = nodes[layer.name]
        return type(layer).from_config(settings)

    return keras.models.clone_model(chain.model, clone_function=resized)
