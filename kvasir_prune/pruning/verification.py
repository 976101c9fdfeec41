"""Computing a recorded loss again: a device or a file may be wrong without saying so."""

from __future__ import annotations

from collections.abc import Sequence

from kvasir_prune.errors import DeviceError, DeviceMemoryError, LedgerError
from kvasir_prune.importance.scorer import Scorer
from kvasir_prune.ledger.contract import Ledger
from kvasir_prune.ledger.state import State, fold, initial
from kvasir_prune.types import Entry, LossAccuracy, Removed


def check_ledger(scorer: Scorer, ledger: Ledger, *, tolerance: float = 0.0) -> None:
    """Refuse to go on from a ledger whose last loss comes out otherwise now.

    The loss behind the last removal is scored as it was then; before any removal, that of the
    whole network.

    Args:
        scorer: of the run.
        ledger: as it was found.
        tolerance: relative; 0 asks for the same bits, as the same device gives them.

    Raises:
        LedgerError: with both losses; nothing has been touched.
        DeviceMemoryError: memory does not suffice for the steps of the recorded loss.
    """
    entries = ledger.entries
    removals = [place for place, entry in enumerate(entries) if isinstance(entry, Removed)]
    if not removals:
        check_baseline(scorer, ledger.baseline, tolerance=tolerance)
        return
    last = entries[removals[-1]]
    assert isinstance(last, Removed)
    before = fold(initial(ledger.layers, ledger.baseline), entries[: removals[-1]])
    scorer.halve(before.layers[last.layer].name, before.halvings)
    found = _again(scorer, before, last)
    if found is None:
        raise DeviceMemoryError(
            "There is less memory now than when the run was started.",
            where=f"layer {before.layers[last.layer].name}",
            fix="wait until the device is free, then give the same command again",
        )
    _compare(found.loss, last.loss, f"behind {ledger.state.removals} removals", tolerance)


def check_baseline(scorer: Scorer, recorded: LossAccuracy, *, tolerance: float = 0.0) -> None:
    """Refuse to go on where the whole network has another loss now than was recorded.

    Args, raises:
        As `check_ledger`.
    """
    _compare(scorer.evaluate({}).loss, recorded.loss, "with all nodes in place", tolerance)


def _compare(found: float, recorded: float, where: str, tolerance: float) -> None:
    if abs(found - recorded) <= tolerance * abs(recorded):
        return
    exactness = f"within {tolerance:g} of it" if tolerance else "to the last bit"
    raise LedgerError(
        "The network does not have the loss that was recorded.",
        where=where,
        got=f"{found!r} now",
        expected=f"{recorded!r}, {exactness}",
        fix="if the network, the images or this package may have been changed, undo it, or start "
        "again in a new run folder; if not, suspect the machine's memory",
    )


def check_decision(scorer: Scorer, state: State, decided: Sequence[Entry]) -> None:
    """Score the node that is about to be removed once more.

    Args:
        scorer: of the run.
        state: before the decision.
        decided: what is about to be recorded; without a removal nothing is done.

    Raises:
        DeviceError: the two losses differ in any bit.
    """
    removals = [place for place, entry in enumerate(decided) if isinstance(entry, Removed)]
    if not removals:
        return
    last = decided[removals[-1]]
    assert isinstance(last, Removed)
    again = _again(scorer, fold(state, decided[: removals[-1]]), last)
    if again is not None and again != LossAccuracy(last.loss, last.accuracy):
        raise DeviceError(
            "The device computes wrong: the same loss came out otherwise the second time.",
            where=f"layer {state.layers[state.layer].name}, node {last.node}",
            got=f"{last.loss!r}, then {again.loss!r}",
            expected="the same bits; the removal was not recorded",
            fix="give the same command again, on another device if it happens often",
        )


def _again(scorer: Scorer, before: State, removed: Removed) -> LossAccuracy | None:
    """Score a removed node once more; None where smaller steps give it other last bits."""
    layer = before.layers[removed.layer].name
    halvings = scorer.halvings(layer)
    (score,) = scorer.score(layer, before.removed_by_name(), [removed.node])
    return LossAccuracy(score.loss, score.accuracy) if scorer.halvings(layer) == halvings else None
