"""Pre-calculated and random pruning (Algorithms 3, 1, 2) against the thesis's own loops."""

from __future__ import annotations

from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvasir_prune.ledger import MemoryLedger
from kvasir_prune.pruning import PreCalculated, Random, RandomWhileImproving, Strategy, prune
from kvasir_prune.pruning.random_improving import improvement
from kvasir_prune.pruning.random_removal import draw
from kvasir_prune.types import LayerFinished, LayerSize, LossAccuracy, Removed
from tests.test_strategies import LOW, in_order, run, scrambled, sizes, widths, worlds
from tests.toy import LossOf, ToyScorer

Layers = tuple[LayerSize, ...]

seeds = st.integers(0, 2**32 - 1)
groups = st.integers(1, 4)
tries = st.integers(1, 12)
accuracies = st.builds(
    lambda seed: lambda gone: scrambled(seed, 12)(gone) - 0.9, st.integers(0, 10**6)
)


def removals(ledger: MemoryLedger) -> list[Removed]:
    return [entry for entry in ledger.entries if isinstance(entry, Removed)]


def losses_on_the_way(ledger: MemoryLedger, loss_of: LossOf) -> list[float]:
    """Return the losses before, and without the first, the first two, ... removed nodes."""
    done = in_order(ledger)
    return [loss_of(frozenset(done[:count])) for count in range(len(done) + 1)]


def assert_every_removal_is_true(ledger: MemoryLedger, loss_of: LossOf) -> None:
    losses = losses_on_the_way(ledger, loss_of)
    assert [entry.loss for entry in removals(ledger)] == losses[1:]
    assert [entry.importance for entry in removals(ledger)] == [a - b for a, b in pairwise(losses)]


# --- pre-calculated: Algorithm 3 ------------------------------------------------


def measured(layers: Layers, loss_of: LossOf) -> tuple[tuple[float, ...], ...]:
    """Algorithm 4: each node alone is taken out of the whole network."""
    whole = loss_of(frozenset())
    return tuple(
        tuple(whole - loss_of(frozenset([(layer.name, i)])) for i in range(layer.nodes))
        for layer in layers
    )


def literal_algorithm_3(layers: Layers, loss_of: LossOf, low: float) -> list[tuple[str, int]]:
    """Remove the zero and the worse nodes; of a layer without important ones, the best stays."""
    gone: list[tuple[str, int]] = []
    whole = loss_of(frozenset())
    for layer in layers:
        zero_or_worse, best, best_change = [], 0, float("inf")
        for i in range(layer.nodes):
            change = whole - loss_of(frozenset([(layer.name, i)]))
            if change >= low:
                zero_or_worse.append(i)
            if change < best_change:
                best, best_change = i, change
        if len(zero_or_worse) == layer.nodes:
            zero_or_worse.remove(best)
        gone += [(layer.name, i) for i in zero_or_worse]
    return gone


def test_redundant_nodes_all_go_though_one_of_them_is_needed() -> None:
    """Thesis section 4.5: 0 and 1 do the same work, each is a zero node beside the other."""
    losses = {(): 1.0, (0,): 1.0, (1,): 0.75, (2,): 1.5, (0, 1): 3.0}
    scorer = ToyScorer(lambda gone: losses[tuple(sorted(node for _, node in gone))])
    ledger = run(PreCalculated(LOW, ((0.0, 0.25, -0.5),)), scorer, (LayerSize("a", 3),))
    assert ledger.entries == (
        Removed(0, 0, 0.0, 1.0, 0.5, 1),
        Removed(0, 1, -2.0, 3.0, 0.5, 2),
        LayerFinished(0, 2),
    )


def test_a_layer_of_unimportant_nodes_keeps_the_first_of_its_best() -> None:
    scorer = ToyScorer(lambda gone: 1.0)
    ledger = run(PreCalculated(LOW, ((0.5, 0.25, 0.25),)), scorer, (LayerSize("a", 3),))
    assert ledger.state.removed == ((0, 2),)


def test_the_threshold_itself_is_removed() -> None:
    """Algorithm 4 counts a change equal to the low tolerance among the zero nodes."""
    scorer = ToyScorer(lambda gone: 1.0)
    ledger = run(PreCalculated(-0.25, ((-0.25, -0.5),)), scorer, (LayerSize("a", 2),))
    assert ledger.state.removed == ((0,),)


@given(sizes, worlds, widths)
def test_pre_calculated_is_algorithm_3(layers: Layers, loss_of: LossOf, width: int) -> None:
    strategy = PreCalculated(LOW, measured(layers, loss_of))
    scorer = ToyScorer(loss_of, width)
    ledger = run(strategy, scorer, layers)
    assert in_order(ledger) == literal_algorithm_3(layers, loss_of, LOW)
    assert len(scorer.asked) == ledger.state.evaluations == ledger.state.removals
    assert_every_removal_is_true(ledger, loss_of)


# --- random: Algorithm 1 --------------------------------------------------------


@given(sizes, worlds, seeds, widths, st.data())
def test_random_removes_what_was_drawn_whatever_it_costs(
    layers: Layers, loss_of: LossOf, seed: int, width: int, data: st.DataObject
) -> None:
    nodes = data.draw(st.integers(0, sum(layer.nodes - 1 for layer in layers)))
    ledger = run(Random(seed, nodes), ToyScorer(loss_of, width), layers)
    assert ledger.state.removals == ledger.state.evaluations == nodes
    assert tuple(map(frozenset, ledger.state.removed)) == draw(seed, layers, nodes)
    for gone, layer in zip(ledger.state.removed, layers, strict=True):
        assert len(gone) < layer.nodes
    assert_every_removal_is_true(ledger, loss_of)


def test_two_of_three_nodes_can_be_any_two() -> None:
    drawn = {draw(seed, (LayerSize("a", 3),), 2)[0] for seed in range(40)}
    assert drawn == {frozenset(pair) for pair in combinations(range(3), 2)}


def test_nodes_come_from_all_layers_at_once() -> None:
    """Two of a and b: both of one, or one of each; never all of b, nor the only node of c."""
    layers = (LayerSize("a", 3), LayerSize("b", 2), LayerSize("c", 1))
    shares = {tuple(map(len, draw(seed, layers, 2))) for seed in range(40)}
    assert shares == {(2, 0, 0), (1, 1, 0)}


def test_draws_of_one_seed_are_told_apart_by_their_number() -> None:
    layers = (LayerSize("a", 40),)
    assert len({draw(5, layers, 8, number) for number in range(30)}) == 30
    of_improving = {RandomWhileImproving(5, 8, 1, number) for number in range(30)}
    state = MemoryLedger(layers, LossAccuracy(1.0, 0.5)).state
    assert len({strategy.next(state) for strategy in of_improving}) == 30


def test_a_draw_worked_by_hand() -> None:
    """The nodes of a are 0, 1, 2 of the permutation, those of b 3 and 4; b keeps its 3."""
    layers = (LayerSize("a", 3), LayerSize("b", 2))
    assert np.random.default_rng([0, 1]).permutation(5).tolist() == [1, 4, 3, 0, 2]
    assert draw(0, layers, 1) == ({1}, set())
    assert draw(0, layers, 2) == ({1}, {1})
    assert draw(0, layers, 3) == ({1, 0}, {1})


def test_more_nodes_than_the_layers_can_lose_are_refused() -> None:
    layers = (LayerSize("a", 3), LayerSize("b", 2))
    assert sum(map(len, draw(0, layers, 3))) == 3
    with pytest.raises(ValueError, match="4 nodes to remove, but the layers can lose 3"):
        draw(0, layers, 4)


# --- random while it improves: Algorithm 2 --------------------------------------


def literal_algorithm_2(
    layers: Layers, scorer: ToyScorer, n: int, to_test: int, seed: int
) -> tuple[list[tuple[str, int]], int]:
    """Return the removed nodes and the number of tries, layer by layer."""
    best = scorer.evaluate({})
    best_loss, best_acc = best.loss, best.accuracy
    gone: list[tuple[str, int]] = []
    tested = 0
    for index, layer in enumerate(layers):
        to_consider = list(range(layer.nodes))
        for number in range(to_test):
            if len(to_consider) <= n:
                break
            generator = np.random.default_rng([seed, 2, index, number])
            dropped = generator.choice(to_consider, n, replace=False).tolist()
            test = frozenset([*gone, *((layer.name, node) for node in dropped)])
            new_loss, new_acc = scorer.loss_of(test), scorer.accuracy_of(test)
            tested += 1
            score = (1 - (new_loss / best_loss)) + ((new_acc / best_acc) - 1)
            if score > 0:
                best_loss, best_acc = new_loss, new_acc
                for node in dropped:
                    gone.append((layer.name, node))
                    to_consider.remove(node)
    return gone, tested


@given(sizes, worlds, accuracies, widths, seeds, groups, tries)
def test_random_while_improving_is_algorithm_2(
    layers: Layers,
    loss_of: LossOf,
    accuracy_of: LossOf,
    width: int,
    seed: int,
    n: int,
    to_test: int,
) -> None:
    scorer = ToyScorer(loss_of, width, accuracy_of)
    ledger = run(RandomWhileImproving(seed, n, to_test), scorer, layers)
    gone, tested = literal_algorithm_2(layers, scorer, n, to_test, seed)
    assert in_order(ledger) == gone
    assert ledger.state.evaluations == tested + len(gone) // n * (n - 1)
    assert_every_removal_is_true(ledger, loss_of)
    accuracies_on_the_way = losses_on_the_way(ledger, accuracy_of)
    assert [entry.accuracy for entry in removals(ledger)] == accuracies_on_the_way[1:]


def test_a_group_goes_whole_though_its_first_node_alone_would_not() -> None:
    """Whichever two are drawn: one out 1.25, two out 0.75; the ledger tells both."""
    by_count = {0: 1.0, 1: 1.25, 2: 0.75}
    scorer = ToyScorer(lambda gone: by_count[len(gone)])
    ledger = run(RandomWhileImproving(0, 2, tries=1), scorer, (LayerSize("a", 3),))
    first, second = ledger.state.removed[0]
    assert ledger.entries == (
        Removed(0, first, -0.25, 1.25, 0.5, 2),
        Removed(0, second, 0.5, 0.75, 0.5, 2),
        LayerFinished(0, 2),
    )


def test_what_does_not_improve_is_put_back_and_every_try_draws_anew() -> None:
    """An equal loss is no improvement; 40 tries at one of four nodes come to all of them."""
    scorer = ToyScorer(lambda gone: 1.0)
    ledger = run(RandomWhileImproving(0, 1, tries=40), scorer, (LayerSize("a", 4),))
    assert ledger.entries == (LayerFinished(0, 40),)
    assert {node for _, node in scorer.asked} == {0, 1, 2, 3}


@pytest.mark.parametrize(("nodes", "removed"), [(1, 0), (2, 0), (3, 2), (4, 2), (5, 4)])
def test_a_layer_keeps_a_node_and_every_group_is_whole(nodes: int, removed: int) -> None:
    scorer = ToyScorer(lambda gone: 1.0 - 0.1 * len(gone))
    ledger = run(RandomWhileImproving(3, 2, tries=64), scorer, (LayerSize("a", nodes),))
    assert len(ledger.state.removed[0]) == removed


def test_each_layer_has_all_its_tries() -> None:
    scorer = ToyScorer(lambda gone: 1.0 + len(gone))
    layers = (LayerSize("b", 3), LayerSize("a", 4))
    ledger = run(RandomWhileImproving(0, 2, tries=5), scorer, layers)
    assert ledger.entries == (LayerFinished(0, 5), LayerFinished(1, 10))


@pytest.mark.parametrize(
    ("best", "new", "score"),
    [
        ((0.5, 0.8), (0.4, 0.72), 0.1),
        ((0.5, 0.8), (0.5, 0.8), 0.0),
        ((0.5, 0.5), (0.55, 0.75), 0.4),
        ((0.0, 0.0), (0.0, 0.0), 0.0),
        ((0.0, 1.0), (0.1, 1.0), -np.inf),
        ((1.0, 0.0), (1.0, 0.1), np.inf),
    ],
)
def test_the_score_weighs_loss_against_accuracy(
    best: tuple[float, float], new: tuple[float, float], score: float
) -> None:
    assert improvement(LossAccuracy(*best), LossAccuracy(*new)) == pytest.approx(score)


# --- all of them ----------------------------------------------------------------


@given(sizes, worlds, accuracies, widths, seeds, groups, st.sampled_from([1, 2, 3]), st.data())
def test_a_job_stopped_after_any_step_goes_on_the_same(
    layers: Layers,
    loss_of: LossOf,
    accuracy_of: LossOf,
    width: int,
    seed: int,
    n: int,
    algorithm: int,
    data: st.DataObject,
) -> None:
    """Stopped after every step, each time with nothing kept but the ledger's entries."""
    of_all = sum(layer.nodes - 1 for layer in layers)

    def strategy() -> Strategy:
        if algorithm == 1:
            return Random(seed, nodes)
        if algorithm == 2:
            return RandomWhileImproving(seed, n, tries=6)
        return PreCalculated(LOW, measured(layers, loss_of))

    nodes = data.draw(st.integers(0, of_all))
    whole = run(strategy(), ToyScorer(loss_of, width, accuracy_of), layers)
    ledger = MemoryLedger(layers, ToyScorer(loss_of, 1, accuracy_of).evaluate({}))
    while not ledger.state.finished:
        ledger = MemoryLedger(layers, ledger.baseline, ledger.entries)
        scorer = ToyScorer(loss_of, width, accuracy_of)
        next(prune(strategy(), scorer, ledger, commit_every_s=0))
    assert ledger.entries == whole.entries
    assert ledger.state == whole.state
