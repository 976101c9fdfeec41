"""The importance of every hidden node of the unpruned network (thesis Algorithm 4), resumable."""

from __future__ import annotations

from collections.abc import Generator, Sequence

from kvasir_prune.importance.scorer import Scorer
from kvasir_prune.importance.store import ImportanceStore, Measurement
from kvasir_prune.ledger.committer import Committer


def measure(
    scorer: Scorer,
    store: ImportanceStore,
    *,
    commit_every_s: float,
) -> Generator[Sequence[Measurement]]:
    """Score every node that the store does not hold yet, last layer first.

    Args:
        scorer: measures.
        store: remembers; published at the latest `commit_every_s` seconds after a measurement,
            and whenever the loop is left.
        commit_every_s: seconds.

    Yields:
        The new measurements.

    Raises:
        NumericalError: a loss is NaN or infinite; it is not recorded.
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
                if times := scorer.halvings(layer.name):
                    store.halvings = {**store.halvings, layer.name: times}
                fresh = store.record(number, scores)
                committer.recorded()
                yield fresh
