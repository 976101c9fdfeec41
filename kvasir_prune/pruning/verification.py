"""Computing a recorded loss again: a device or a file may be wrong without saying so."""

from __future__ import annotations

from collections.abc import Sequence

from kvasir_prune.errors import DeviceMemoryError, LedgerError
from kvasir_prune.importance.recheck import again, check_again
from kvasir_prune.importance.scorer import Scorer
from kvasir_prune.ledger.contract import Ledger
from kvasir_prune.ledger.state import State, fold, initial
from kvasir_prune.types import Entry, Halved, LossAccuracy, Removed, Scored


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
        first = sum(isinstance(entry, Halved) and entry.layer == 0 for entry in entries)
        check_baseline(
            scorer, ledger.baseline, ledger.layers[0].name, halvings=first, tolerance=tolerance
        )
        return
    last = entries[removals[-1]]
    assert isinstance(last, Removed)
    before = fold(initial(ledger.layers, ledger.baseline), entries[: removals[-1]])
    layer = before.layers[last.layer].name
    scorer.halve(layer, before.halvings)
    found = again(scorer, layer, before.removed_by_name(), [last.node])
    if found is None:
        raise _less_memory(layer)
    where = f"behind {ledger.state.removals} removals"
    if not _agree(found[0].loss, last.loss, tolerance):
        raise _other_loss(found[0].loss, last.loss, where, tolerance)


def check_baseline(
    scorer: Scorer,
    recorded: LossAccuracy,
    layer: str,
    *,
    halvings: int = 0,
    tolerance: float = 0.0,
) -> None:
    """Refuse to go on where the whole network has another loss now than was recorded.

    Args:
        scorer: of the run.
        recorded: loss and accuracy.
        layer: in whose steps they were computed.
        halvings: how often these have been halved by now; the loss may be older than some.
        tolerance: as in `check_ledger`.

    Raises:
        As `check_ledger`.
    """
    is_short = False
    for times in range(halvings + 1):
        scorer.halve(layer, times)
        found = scorer.evaluate({}, layer=layer).loss
        is_short |= scorer.halvings(layer) > times
        if scorer.halvings(layer) > halvings:
            break
        if _agree(found, recorded.loss, tolerance):
            return
    if is_short:
        raise _less_memory(layer)
    raise _other_loss(found, recorded.loss, "with all nodes in place", tolerance)


def _agree(found: float, recorded: float, tolerance: float) -> bool:
    return abs(found - recorded) <= tolerance * abs(recorded)


def _less_memory(layer: str) -> DeviceMemoryError:
    return DeviceMemoryError(
        "There is less memory now than when the run was started.",
        where=f"layer {layer}",
        fix="wait until the device is free, then give the same command again",
    )


def _other_loss(found: float, recorded: float, where: str, tolerance: float) -> LedgerError:
    exactness = f"within {tolerance:g} of it" if tolerance else "to the last bit"
    return LedgerError(
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
    before = fold(state, decided[: removals[-1]])
    accepted = Scored(last.node, last.loss, last.accuracy)
    check_again(scorer, before.layers[last.layer].name, before.removed_by_name(), [accepted])
