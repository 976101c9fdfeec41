"""What is left of a stage, in seconds: from its records and the run's pace; needs no Keras."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kvasir_prune.config import RunConfig
from kvasir_prune.experiment.pace import IMPORTANCE, PRUNING, Pace
from kvasir_prune.importance.store import ImportanceStore
from kvasir_prune.ledger import State
from kvasir_prune.pruning.expectation import Fate, evaluations, evaluations_left, fate_of
from kvasir_prune.types import LayerSize


@dataclass(frozen=True)
class Forecast:
    """How far a stage is: seconds done and left, both at the pace known now."""

    done_s: float
    left_s: float


def fates(
    config: RunConfig, layers: Sequence[LayerSize], store: ImportanceStore | None
) -> tuple[Fate, ...]:
    """Return what to expect of each of a pruning job's layers.

    Args:
        config: of the run.
        layers: of the job, in order of work.
        store: importances; of layers that it does not hold whole nothing is known.
    """
    known: dict[str, list[float]] = {layer.name: [] for layer in layers}
    if store is not None:
        for measured in store.measured:
            known.setdefault(store.layers[measured.layer].name, []).append(measured.importance)
    whole = [known[layer.name] if len(known[layer.name]) == layer.nodes else [] for layer in layers]
    return tuple(
        fate_of(config.pruning, config.importance.low, layers, number, importances)
        for number, importances in enumerate(whole)
    )


def of_importance(pace: Pace, store: ImportanceStore) -> Forecast | None:
    """Return how far the measurement of importances is; None where the pace is of other layers."""
    if any(layer.name not in pace.work for layer in store.layers):
        return None
    done = [0] * len(store.layers)
    for measured in store.measured:
        done[measured.layer] += 1
    seconds = [pace.seconds(IMPORTANCE, layer.name) for layer in store.layers]
    left = [layer.nodes - made for layer, made in zip(store.layers, done, strict=True)]
    starts = sum(
        pace.start(IMPORTANCE, n.name) for n, k in zip(store.layers, left, strict=True) if k
    )
    return Forecast(_product(done, seconds), _product(left, seconds) + starts)


def of_pruning(
    pace: Pace, config: RunConfig, expected: Sequence[Fate], state: State
) -> Forecast | None:
    """Return how far a pruning job is; None where the pace is of other layers."""
    if any(layer.name not in pace.work for layer in state.layers):
        return None
    settings, here = config.pruning, state.layer
    seconds = [pace.seconds(PRUNING, layer.name) for layer in state.layers]
    left = [evaluations(settings, fate) for fate in expected]
    done = [*left[:here], *([0.0] * (len(left) - here))]
    if not state.finished:
        left[here] = evaluations_left(settings, expected[here], state)
        done[here] = float(state.evaluations - state.evaluations_before)
    starts = sum(pace.start(PRUNING, layer.name) for layer in state.layers[here:])
    return Forecast(_product(done, seconds), _product(left[here:], seconds[here:]) + starts)


def _product(counts: Sequence[float], seconds: Sequence[float]) -> float:
    return sum(count * each for count, each in zip(counts, seconds, strict=True))
