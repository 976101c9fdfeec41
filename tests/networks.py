"""Networks with random weights, small enough to evaluate literally."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from kvasir_prune.config.model import Ann, Cnn, Mlp, ModelConfig, Vgg16
from kvasir_prune.models import build

# Weights are drawn anew; for initial ones JAX would compile a function for every shape.
ZEROS: dict[str, Any] = {"initializer": "zeros"}
NARROW: dict[str, Any] = {"width": 0.05, "dense_units": 9, "input_side_px": 32, **ZEROS}
SMALL: dict[str, tuple[ModelConfig, tuple[int, int, int]]] = {
    "ann": (Ann(name="ann", **ZEROS), (6, 6, 1)),
    "mlp": (Mlp(name="mlp", dropout=0.3, **ZEROS), (6, 6, 1)),
    "cnn": (Cnn(name="cnn", **ZEROS), (9, 9, 3)),
    "vgg16": (Vgg16(name="vgg16", **NARROW), (32, 32, 3)),
    "vgg16_bn": (Vgg16(name="vgg16", batch_norm=True, **NARROW), (32, 32, 3)),
}
CLASSES = 4


def network(name: str, seed: int = 3) -> keras.Model:
    """Build one of ours, its weights drawn by `randomise`."""
    config, shape = SMALL[name]
    model = build(config, shape, CLASSES, seed=seed)
    randomise(model, seed)
    return model


def randomise(model: keras.Model, seed: int = 3) -> None:
    """Give every weight a random value of a plausible size, the same on every backend."""
    rng = np.random.default_rng(seed)
    for layer in model.layers:
        arrays = layer.get_weights()
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights([rng.uniform(0.5, 1.5, a.shape) for a in arrays])
        else:
            layer.set_weights([rng.normal(0, _deviation(a.shape), a.shape) for a in arrays])


def _deviation(shape: tuple[int, ...]) -> float:
    """He et al. (2015) for a kernel; a tenth for a bias."""
    return float(np.sqrt(2 / np.prod(shape[:-1]))) if len(shape) > 1 else 0.1


def images_and_labels(
    shape: tuple[int, ...], count: int, seed: int = 0
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Random images and labels."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (count, *shape), dtype=np.uint8)
    return images, rng.integers(0, CLASSES, count)


def some_nodes(sizes: dict[str, int], seed: int = 1, share: float = 0.4) -> dict[str, list[int]]:
    """Choose nodes of every layer, never all of one."""
    rng = np.random.default_rng(seed)
    chosen = {}
    for name, nodes in sizes.items():
        count = min(nodes - 1, int(np.ceil(nodes * share)))
        chosen[name] = sorted(rng.choice(nodes, count, replace=False).tolist())
    return chosen
