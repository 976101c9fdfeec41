"""The loop that drives a strategy: ask, score, decide, record, and say where it stands."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from pathlib import Path

from kvasir_prune.importance.scorer import Scorer
from kvasir_prune.ledger.committer import Committer
from kvasir_prune.ledger.contract import Ledger
from kvasir_prune.ledger.hdf5 import HDF5Ledger
from kvasir_prune.ledger.state import State
from kvasir_prune.pruning.strategy import Strategy, Together
from kvasir_prune.pruning.verification import check_decision
from kvasir_prune.types import Entry, Halved, LayerSize, Removed, Scored


def begun(
    scorer: Scorer, path: Path, layers: tuple[LayerSize, ...], identity: Mapping[str, str]
) -> HDF5Ledger:
    """Publish a ledger that holds nothing but the loss of the whole network.

    Args:
        scorer: measures it, in the steps of the first layer of work, and in smaller ones where
            memory does not suffice; the ledger remembers that.
        path: of the new ledger.
        layers: in order of work.
        identity: as in `HDF5Ledger`.
    """
    first = layers[0].name
    baseline = scorer.evaluate({}, layer=first)
    ledger = HDF5Ledger(path, layers=layers, baseline=baseline, identity=identity)
    ledger.record((Halved(0, 0),) * scorer.halvings(first))
    ledger.commit()
    return ledger


def prune(
    strategy: Strategy,
    scorer: Scorer,
    ledger: Ledger,
    *,
    commit_every_s: float,
    verify_every: int = 0,
) -> Generator[State]:
    """Prune until every layer is finished, going on wherever the ledger stands.

    Args:
        strategy: decides.
        scorer: measures.
        ledger: remembers; committed at the latest `commit_every_s` seconds after a record, and
            whenever the loop is left, by an exception too.
        commit_every_s: seconds, 0 commits every step.
        verify_every: the loss behind every so manieth removal is computed twice before it is
            recorded; 0 trusts the device.

    Yields:
        The state after every decision.

    Raises:
        NumericalError: a loss is NaN or infinite; nothing of that step is recorded.
        DeviceError: a loss came out otherwise the second time; likewise.
        StorageError: the ledger cannot be committed.
    """
    with Committer(ledger, commit_every_s) as committer:
        while not ledger.state.finished:
            state = ledger.state
            entries = strategy.decide(state, _scores(strategy, scorer, state))
            halvings = _halvings(scorer, state)
            if _is_due(state.removals, entries, verify_every):
                check_decision(scorer, state, entries)
                if (more := _halvings(scorer, state)) != halvings:
                    # Scored in steps for which memory does not suffice any more: again in smaller.
                    halvings, entries = more, ()
            ledger.record((*halvings, *entries))
            committer.recorded()
            yield ledger.state


def _is_due(removals: int, entries: Sequence[Entry], every: int) -> bool:
    """Return whether one of the next removals is an `every`-th."""
    more = sum(isinstance(entry, Removed) for entry in entries)
    return every > 0 and removals // every < (removals + more) // every


def _halvings(scorer: Scorer, state: State) -> tuple[Halved, ...]:
    """Return an event for every time that memory did not suffice."""
    more = scorer.halvings(state.layers[state.layer].name) - state.halvings
    return (Halved(state.layer, state.evaluations),) * more


def _scores(strategy: Strategy, scorer: Scorer, state: State) -> tuple[Scored, ...]:
    scorer.halve(state.layers[state.layer].name, state.halvings)
    asked = strategy.next(state)
    if isinstance(asked, Together):
        return _score_together(asked, scorer, state)
    layer = state.layers[state.layer].name
    candidates = asked[: scorer.block_width(layer)]
    if not candidates:
        return ()
    limits = strategy.limits(state)
    return scorer.score(layer, state.removed_by_name(), candidates, limits=limits)


def _score_together(group: Together, scorer: Scorer, state: State) -> tuple[Scored, ...]:
    """Score a group as its last node with the others out already."""
    *others, last = group.nodes
    layer, removed = state.layers[state.layer].name, state.removed_by_name()
    return scorer.score(layer, {**removed, layer: (*removed.get(layer, ()), *others)}, [last])
