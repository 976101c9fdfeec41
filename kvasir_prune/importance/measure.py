"""The importance of every hidden node of the unpruned network (thesis Algorithm 4), resumable."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from pathlib import Path

from kvasir_prune.importance.recheck import check_again
from kvasir_prune.importance.scorer import Scorer
from kvasir_prune.importance.store import ImportanceStore, Measurement
from kvasir_prune.ledger.committer import Committer
from kvasir_prune.types import LayerSize, Scored


def begun(
    scorer: Scorer,
    path: Path,
    layers: tuple[LayerSize, ...],
    *,
    low: float,
    high: float,
    identity: Mapping[str, str],
) -> ImportanceStore:
    """Publish a store that holds nothing but the loss of the whole network.

    Args:
        scorer: measures it, in the steps of the last layer, and in smaller ones where memory does
            not suffice; the store remembers that.
        path: of the new store.
        layers: first to last.
        low: below it a node is important;
        high: above it it is worse.
        identity: what it is a function of.
    """
    last = layers[-1].name
    baseline = scorer.evaluate({}, layer=last)
    store = ImportanceStore(
        path, layers=layers, baseline=baseline, low=low, high=high, identity=identity
    )
    if times := scorer.halvings(last):
        store.halvings = {last: times}
    store.commit()
    return store


def measure(
    scorer: Scorer,
    store: ImportanceStore,
    *,
    commit_every_s: float,
    verify_every: int = 0,
) -> Generator[Sequence[Measurement]]:
    """Score every node that the store does not hold yet, last layer first.

    Args:
        scorer: measures.
        store: remembers; published at the latest `commit_every_s` seconds after a measurement,
            and whenever the loop is left.
        commit_every_s: seconds.
        verify_every: every so manieth loss is computed twice before it is recorded; 0 trusts the
            device.

    Yields:
        The new measurements.

    Raises:
        NumericalError: a loss is NaN or infinite; it is not recorded.
        DeviceError: a loss came out otherwise the second time; likewise.
        StorageError: the measurements cannot be committed.
    """
    with Committer(store, commit_every_s) as committer:
        # Backward, as in pruning: the outputs of earlier layers come by on the way.
        for number, layer in reversed(list(enumerate(store.layers))):
            missing = store.missing(number)
            scorer.halve(layer.name, store.halvings.get(layer.name, 0))
            width = scorer.block_width(layer.name)
            for start in range(0, len(missing), width):
                scores = scorer.score(layer.name, {}, missing[start : start + width])
                check_again(scorer, layer.name, {}, _due(scores, len(store.measured), verify_every))
                if times := scorer.halvings(layer.name):
                    store.halvings = {**store.halvings, layer.name: times}
                fresh = store.record(number, scores)
                committer.recorded()
                yield fresh


def _due(scores: Sequence[Scored], known: int, every: int) -> Sequence[Scored]:
    """Return those of the next scores that are an `every`-th."""
    return scores[every - 1 - known % every :: every] if every else ()
