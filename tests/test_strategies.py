"""Greedy and exhaustive pruning against hand-worked cases and the literal code of the thesis."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvasir_prune.ledger import MemoryLedger, State
from kvasir_prune.pruning import Exhaustive, Greedy, Strategy, prune
from kvasir_prune.types import Ignored, LayerFinished, LayerSize, LossAccuracy, Removed, Scored
from tests.toy import LossOf, ToyScorer

LOW = -1e-5
THREE = (LayerSize("a", 3),)

# The losses of a three-node layer for every set of removed nodes, in nats.
#   node 0 helps a little, node 1 hurts, node 2 helps much; without 1, node 0 hurts.
BY_HAND = {(): 1.0, (0,): 1.02, (1,): 0.9, (2,): 1.5, (0, 1): 0.85, (1, 2): 1.4, (0, 2): 1.6}


def by_hand(removed: frozenset[tuple[str, int]]) -> float:
    return BY_HAND[tuple(sorted(node for _, node in removed))]


def run(strategy: Strategy, scorer: ToyScorer, layers: tuple[LayerSize, ...]) -> MemoryLedger:
    ledger = MemoryLedger(layers, scorer.evaluate({}))
    for _ in prune(strategy, scorer, ledger, commit_every_s=0):
        pass
    return ledger


def test_greedy_on_three_nodes_worked_by_hand() -> None:
    """Scan 0 (-0.02: looked at again), 1 (+0.1: out); start over: 0 (+0.05: out); 2 is the last."""
    scorer = ToyScorer(by_hand)
    ledger = run(Greedy(LOW, ignore_below=-0.1), scorer, THREE)
    assert ledger.entries == (
        Removed(0, 1, pytest.approx(0.1), 0.9, 0.5, 2),
        Removed(0, 0, pytest.approx(0.05), 0.85, 0.5, 3),
        LayerFinished(0, 3),
    )
    assert [node for _, node in scorer.asked] == [0, 1, 0]


def test_greedy_ignores_what_was_too_important_even_if_it_would_go_later() -> None:
    """With ignore_below -0.01, node 0 (-0.02 at first) is never looked at again."""
    scorer = ToyScorer(by_hand)
    ledger = run(Greedy(LOW, ignore_below=-0.01), scorer, THREE)
    assert ledger.entries == (
        Ignored(0, 0, pytest.approx(-0.02), 1),
        Removed(0, 1, pytest.approx(0.1), 0.9, 0.5, 2),
        Ignored(0, 2, pytest.approx(-0.5), 3),
        LayerFinished(0, 3),
    )


def test_exhaustive_on_three_nodes_worked_by_hand() -> None:
    """Of all three, 1 has the largest (+0.1); of 0 and 2, 0 has +0.05; then one is left."""
    scorer = ToyScorer(by_hand)
    ledger = run(Exhaustive(LOW), scorer, THREE)
    assert ledger.state.removed == ((1, 0),)
    assert [node for _, node in scorer.asked] == [0, 1, 2, 0, 2]
    assert ledger.state.current.loss == 0.85


@pytest.mark.parametrize("strategy", [Greedy(LOW, None), Exhaustive(LOW)])
def test_the_sign_of_the_importance(strategy: Strategy) -> None:
    """Importance is loss with minus loss without: the node whose absence lowers the loss goes."""
    losses = {(): 1.0, (0,): 1.3, (1,): 0.7, (0, 1): 1.1}
    scorer = ToyScorer(lambda gone: losses[tuple(sorted(n for _, n in gone))])
    ledger = run(strategy, scorer, (LayerSize("a", 2),))
    assert ledger.state.removed == ((1,),)
    (removed,) = [entry for entry in ledger.entries if isinstance(entry, Removed)]
    assert removed.importance == pytest.approx(0.3)


def test_exhaustive_removes_the_last_of_equals() -> None:
    scorer = ToyScorer(lambda gone: 1.0 - 0.1 * bool(gone) + (len(gone) > 1))
    assert run(Exhaustive(LOW), scorer, (LayerSize("a", 4),)).state.removed == ((3,),)


@pytest.mark.parametrize("strategy", [Greedy(LOW, -1.0), Exhaustive(LOW)])
def test_the_last_node_of_a_layer_stays(strategy: Strategy) -> None:
    scorer = ToyScorer(lambda gone: 1.0 - 0.01 * len(gone))
    layers = (LayerSize("b", 3), LayerSize("a", 1), LayerSize("c", 2))
    state = run(strategy, scorer, layers).state
    assert [len(nodes) for nodes in state.removed] == [2, 0, 1]
    assert state.finished


@pytest.mark.parametrize("strategy", [Greedy(LOW, None), Exhaustive(LOW)])
def test_the_threshold_itself_is_removed(strategy: Strategy) -> None:
    """The author's code compares with >=, the thesis's prose says >."""
    strategy = replace(strategy, low=-0.25)
    scorer = ToyScorer(lambda gone: 1.0 + 0.25 * len(gone))
    assert len(run(strategy, scorer, (LayerSize("a", 2),)).state.removed[0]) == 1


# --- the literal algorithms of the thesis, with its slips mended ---------------


def literal_algorithm_9(
    layers: tuple[LayerSize, ...], loss_of: LossOf, low: float, ignore: float | None
) -> list[tuple[str, int]]:
    gone: list[tuple[str, int]] = []
    old_loss = loss_of(frozenset())
    for layer in layers:
        to_estimate = list(range(layer.nodes))
        idx, left = 0, layer.nodes
        while idx < len(to_estimate) and left > 1:
            node = to_estimate[idx]
            new_loss = loss_of(frozenset([*gone, (layer.name, node)]))
            if old_loss - new_loss >= low:
                gone.append((layer.name, node))
                to_estimate.remove(node)
                old_loss, idx, left = new_loss, 0, left - 1
            elif ignore is not None and old_loss - new_loss <= ignore:
                to_estimate.remove(node)
            else:
                idx += 1
    return gone


def literal_algorithm_8(
    layers: tuple[LayerSize, ...], loss_of: LossOf, low: float
) -> list[tuple[str, int]]:
    gone: list[tuple[str, int]] = []
    old_loss = loss_of(frozenset())
    for layer in layers:
        left = list(range(layer.nodes))
        while len(left) > 1:
            best_change, best = low, None
            for node in left:
                new_loss = loss_of(frozenset([*gone, (layer.name, node)]))
                if old_loss - new_loss >= best_change:
                    best_change, best, best_loss = old_loss - new_loss, node, new_loss
            if best is None:
                break
            gone.append((layer.name, best))
            left.remove(best)
            old_loss = best_loss
    return gone


def scrambled(seed: int, steps: int) -> LossOf:
    """A loss that depends on the whole set of removed nodes, with many exact ties."""

    def loss_of(gone: frozenset[tuple[str, int]]) -> float:
        text = repr((seed, sorted(gone))).encode()
        return 1.0 + (hashlib.sha256(text).digest()[0] % steps) / 64

    return loss_of


sizes = st.lists(st.integers(1, 6), min_size=1, max_size=3).map(
    lambda nodes: tuple(LayerSize(f"layer{i}", n) for i, n in enumerate(nodes))
)
worlds = st.builds(scrambled, st.integers(0, 10**6), st.integers(2, 12))
widths = st.integers(1, 9)


def in_order(ledger: MemoryLedger) -> list[tuple[str, int]]:
    return [(ledger.layers[e.layer].name, e.node) for e in ledger.entries if isinstance(e, Removed)]


@given(sizes, worlds, widths, st.sampled_from([None, -0.02, -0.05, -0.2]))
def test_greedy_is_algorithm_9(
    layers: tuple[LayerSize, ...], loss_of: LossOf, width: int, ignore: float | None
) -> None:
    """For any losses, and however many candidates the scorer takes at a time."""
    ledger = run(Greedy(LOW, ignore), ToyScorer(loss_of, width), layers)
    assert in_order(ledger) == literal_algorithm_9(layers, loss_of, LOW, ignore)


@given(sizes, worlds, widths)
def test_exhaustive_is_algorithm_8(
    layers: tuple[LayerSize, ...], loss_of: LossOf, width: int
) -> None:
    ledger = run(Exhaustive(LOW), ToyScorer(loss_of, width), layers)
    assert in_order(ledger) == literal_algorithm_8(layers, loss_of, LOW)


@given(sizes, worlds, widths, st.booleans(), st.data())
def test_a_job_stopped_after_any_step_goes_on_the_same(
    layers: tuple[LayerSize, ...],
    loss_of: LossOf,
    width: int,
    greedy: bool,
    data: st.DataObject,
) -> None:
    strategy: Strategy = Greedy(LOW, -0.05) if greedy else Exhaustive(LOW)
    scorer = ToyScorer(loss_of, width)
    whole = run(strategy, scorer, layers)
    interrupted = MemoryLedger(layers, scorer.evaluate({}))
    stop_after = data.draw(st.integers(0, 12))
    for step, _ in enumerate(prune(strategy, scorer, interrupted, commit_every_s=0)):
        if step == stop_after:
            break
    resumed = MemoryLedger(layers, scorer.evaluate({}), interrupted.entries)
    assert resumed.state == interrupted.state
    for _ in prune(strategy, scorer, resumed, commit_every_s=0):
        pass
    assert resumed.entries == whole.entries


def test_a_decision_forgets_the_rest_of_its_block() -> None:
    """Behind a removal the current loss is another one: losses scored beside it mean nothing."""
    state: State = MemoryLedger((LayerSize("a", 4),), LossAccuracy(1.0, 0.5)).state
    scores = [Scored(0, 1.0, 0.5), Scored(1, 0.5, 0.5), Scored(2, 9.0, 0.5)]
    entries = Greedy(LOW, -1.0).decide(state, scores)
    assert entries == (Removed(0, 0, 0.0, 1.0, 0.5, 1),)
