"""How far the drawing of initial weights is: killed, it goes on behind the last try.

Layout of `training/initial_weights.partial.h5`: attributes `origin` and `draws` (JSON); /weights
and /best, a dataset for every weight, in Keras's order.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kvasir_prune.ledger.hdf5_file import publishing_hdf5, reading_hdf5

SCHEMA_VERSION = 1
Weights = Sequence[NDArray[np.float32]]


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


@dataclass(frozen=True)
class Draws:
    """A network between two tries.

    Attributes:
        weights: of the whole network, as the last try left them.
        done: layers that are finished, first to last.
        tries: of the layer at hand.
        unimportant: its nodes that are zero or worse; None before they are measured.
        first, fewest: how many they were before the first try, and at best.
        best: weights with the fewest.
    """

    weights: Weights
    done: tuple[LayerDraws, ...] = ()
    tries: int = 0
    unimportant: tuple[int, ...] | None = None
    first: int = 0
    fewest: int = 0
    best: Weights = ()


class DrawnWeights:
    """The last state of a network under way, with a file behind it.

    Args:
        path: of the file; read if it exists.
        origin: digests of the run.

    Attributes:
        last: the state; None before the first.

    Raises:
        LedgerError: the file is damaged.
    """

    def __init__(self, path: Path, origin: Mapping[str, str]) -> None:
        self._path, self._origin = path, json.dumps(origin, sort_keys=True)
        self.last: Draws | None = None
        if path.exists():
            self._read()

    def commit(self) -> None:
        """Publish the last state.

        Raises:
            StorageError: the file system does not take it.
        """
        draws = self.last
        if draws is None:
            return
        facts = {key: value for key, value in vars(draws).items() if key not in {"weights", "best"}}
        facts["done"] = [asdict(one) for one in draws.done]
        holds = {"layers": len(draws.done), "tries": draws.tries}
        with publishing_hdf5(self._path, SCHEMA_VERSION, holds=holds) as file:
            file.attrs["origin"], file.attrs["draws"] = self._origin, json.dumps(facts)
            for group, weights in (("weights", draws.weights), ("best", draws.best)):
                for number, weight in enumerate(weights):
                    file.create_dataset(f"{group}/{number:03d}", data=weight)

    def _read(self) -> None:
        with reading_hdf5(self._path, SCHEMA_VERSION) as file:
            if file.attrs["origin"] != self._origin:
                return
            facts: dict[str, Any] = json.loads(file.attrs["draws"])
            weights, best = (
                [file[group][name][()] for name in sorted(file.get(group, ()))]
                for group in ("weights", "best")
            )
        done = tuple(LayerDraws(**one) for one in facts.pop("done"))
        nodes = facts.pop("unimportant")
        unimportant = None if nodes is None else tuple(nodes)
        self.last = Draws(weights, done=done, unimportant=unimportant, best=best, **facts)
