"""The exact scorer against the reference: losses, bits, lists of removed nodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from kvasir_prune import backend
from kvasir_prune.errors import ModelError, NumericalError
from kvasir_prune.importance import sizes
from kvasir_prune.importance.contribution import FEW_POSITIONS
from kvasir_prune.importance.cost_model import work_of
from kvasir_prune.importance.exact import ExactScorer
from kvasir_prune.importance.layer_cache import LayerCache
from kvasir_prune.importance.packing import Part, Step, packed
from kvasir_prune.importance.prefix import LayerOutputs, Prefix
from kvasir_prune.importance.reference import ReferenceScorer
from kvasir_prune.importance.scoring_set import ScoringSet
from kvasir_prune.importance.sizes import REBUILD_EVERY, StepShape
from kvasir_prune.ledger import MemoryLedger
from kvasir_prune.models import read_chain, weights_of
from kvasir_prune.models.chain import Hidden
from kvasir_prune.models.supported import PER_CHANNEL
from kvasir_prune.models.surgery import cut_weights
from kvasir_prune.models.work import LINEAR
from kvasir_prune.pruning import Exhaustive, Greedy, RandomWhileImproving, Strategy, prune
from kvasir_prune.types import Ignored, Limits, Scored
from tests.networks import SMALL, images_and_labels, network, randomise, some_nodes
from tests.random_networks import (
    FLATTENING,
    SIDE,
    networks,
    on_a_sequence,
    with_every_layer,
)

COUNT = 150
# JAX compiles every new shape anew, for seconds.
ON_JAX = backend.name() == "jax"
EXAMPLES = 2 if ON_JAX else 12
FUSED = [False] if ON_JAX else [False, True]
"""JAX fuses every step."""
SLOW_TO_BUILD = {
    "deadline": None,
    "suppress_health_check": [HealthCheck.too_slow, HealthCheck.data_too_large],
}


@pytest.fixture(params=FUSED, ids=lambda fused: "fused" if fused else "kernels")
def fused(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Run a test with steps before Dense readers as they come, and with all of them fused."""
    if request.param:
        monkeypatch.setattr(sizes, "FUSED_FROM", 0)
    return bool(request.param)


def three_layers(filters: int = 8) -> keras.Model:
    """Batch normalisation, pooling and Flatten in a network that is compiled quickly."""
    drawn_anew: dict[str, Any] = {"kernel_initializer": "zeros"}
    model = keras.Sequential(
        [
            keras.Input((SIDE, SIDE, 2), dtype="uint8"),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Conv2D(
                filters, 3, padding="same", use_bias=False, name="conv1", **drawn_anew
            ),
            keras.layers.BatchNormalization(),
            keras.layers.ReLU(),
            keras.layers.MaxPooling2D(2),
            keras.layers.Conv2D(9, 3, activation="relu", name="conv2", **drawn_anew),
            keras.layers.Flatten(),
            keras.layers.Dense(12, activation="relu", name="dense1", **drawn_anew),
            keras.layers.Dense(4, name="predictions", **drawn_anew),
        ]
    )
    randomise(model)
    return model


def scorer_of(
    model: keras.Model, kind: type = ExactScorer, count: int = COUNT, gib: float = 4.0
) -> ExactScorer:
    images, labels = images_and_labels(model.input_shape[1:], count)
    # As after a training: most images are right, the others make up much of the loss.
    predicted = np.asarray(model(images, training=False)).argmax(axis=1)
    labels = np.where(np.arange(count) % 10, predicted, labels).astype(np.int64)
    scored = ScoringSet(images, np.arange(count), labels)
    scorer = kind(read_chain(model), scored, batch_size=64, memory_budget_gib=gib)
    assert isinstance(scorer, kind)
    return scorer  # type: ignore[no-any-return]


def sizes_of(model: keras.Model) -> dict[str, int]:
    return {hidden.name: hidden.nodes for hidden in read_chain(model).hidden}


def all_scores(
    scorer: ExactScorer, removed: Mapping[str, Sequence[int]]
) -> dict[str, tuple[Scored, ...]]:
    """Score every node that is left, last layer first."""
    found = {}
    for hidden in reversed(scorer._chain.hidden):
        left = [n for n in range(hidden.nodes) if n not in removed.get(hidden.name, ())]
        found[hidden.name] = scorer.score(hidden.name, removed, left)
    return found


def largest_difference(model: keras.Model, removed: Mapping[str, Sequence[int]]) -> float:
    """Return the largest |difference of losses| / max(1, loss) between exact and reference."""
    exact = all_scores(scorer_of(model), removed)
    reference = all_scores(scorer_of(model, ReferenceScorer), removed)
    differences = [
        abs(one.loss - other.loss) / max(1.0, other.loss)
        for layer in exact
        for one, other in zip(exact[layer], reference[layer], strict=True)
    ]
    return max(differences)


# --- losses -------------------------------------------------------------------------------------


@settings(max_examples=EXAMPLES, **SLOW_TO_BUILD)
@given(networks(), st.integers(0, 99), st.sampled_from([0.0, 0.4]))
def test_losses_equal_the_reference_in_float32(model: keras.Model, seed: int, share: float) -> None:
    removed = some_nodes(sizes_of(model), seed, share)
    assert largest_difference(model, removed) <= 1e-6


@pytest.mark.skipif(not backend.has_float64(), reason="no float64 on JAX")
@settings(max_examples=EXAMPLES, **SLOW_TO_BUILD)
@given(networks("float64"), st.integers(0, 99))
def test_losses_equal_the_reference_in_float64(model: keras.Model, seed: int) -> None:
    assert {str(array.dtype) for array in model.get_weights()} == {"float64"}
    removed = some_nodes(sizes_of(model), seed, share=0.3)
    assert largest_difference(model, removed) <= 1e-12


def test_losses_in_the_few_large_steps_of_a_gpu_equal_the_reference(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    count, removed = 600, {"conv2": (1,)}
    steps: dict[bool, dict[str, StepShape]] = {}
    reference = all_scores(scorer_of(three_layers(), ReferenceScorer, count), removed)
    for on_gpu in (False, True):
        monkeypatch.setattr(backend, "on_gpu", lambda on_gpu=on_gpu: on_gpu)
        scorer = scorer_of(three_layers(), count=count)
        steps[on_gpu] = {layer: scorer._sizing.of(layer).step for layer in reference}
        for layer, scores in all_scores(scorer, removed).items():
            wanted = [score.loss for score in reference[layer]]
            assert [score.loss for score in scores] == pytest.approx(wanted, abs=1e-6)
    assert steps[False]["conv1"].images < steps[True]["conv1"].images == count
    assert steps[False]["dense1"].segments < steps[True]["dense1"].segments


def with_a_giant(layer: str) -> keras.Model:
    """Let node 1 of a layer give 10,000 on every image, beside which the others are rounding."""
    model = three_layers()
    place = [each.name for each in model.layers].index(layer)
    shifted = model.layers[place + 1] if layer == "conv1" else model.layers[place]
    scale, offset, *rest = shifted.get_weights()
    offset[1] = 1e4
    shifted.set_weights([scale, offset, *rest])
    return model


@pytest.mark.parametrize("layer", ["conv1", "conv2", "dense1"])
def test_one_node_that_dwarfs_the_others_does_not_round_them_away(
    layer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, alone = with_a_giant(layer), LayerCache.without
    asked: list[int] = []
    monkeypatch.setattr(
        LayerCache, "without", lambda self, node: (asked.append(node), alone(self, node))[1]
    )
    assert largest_difference(model, {}) <= 1e-6
    assert 1 in asked
    assert largest_difference(model, {layer: (1,)}) <= 1e-6
    assert largest_difference(model, {layer: (0, 1, 2)}) <= 1e-6


def test_a_run_resumed_beside_a_giant_ends_with_the_same_bits() -> None:
    model, strategy = with_a_giant("dense1"), Greedy(-1e9, None)
    whole = pruned(model, strategy, ExactScorer)
    for stop in (1, 3, 7):
        assert pruned(model, strategy, ExactScorer, stop).entries == whole.entries


WITH_EVERY_LAYER = [("Flatten", "float32")]
if not ON_JAX:
    WITH_EVERY_LAYER += [("GlobalAveragePooling2D", "float64"), ("GlobalMaxPooling2D", "float32")]


@pytest.mark.parametrize(("flattening", "dtype"), WITH_EVERY_LAYER)
def test_losses_equal_the_reference_behind_every_layer(flattening: str, dtype: str) -> None:
    model = with_every_layer(getattr(keras.layers, flattening), dtype)
    for removed in ({}, some_nodes(sizes_of(model), share=0.3)):
        assert largest_difference(model, removed) <= (1e-12 if dtype == "float64" else 1e-6)


def test_losses_equal_the_reference_on_a_sequence() -> None:
    assert largest_difference(on_a_sequence(), {}) <= 1e-6


def test_no_supported_layer_is_left_out() -> None:
    built = [*(with_every_layer(kind) for kind in FLATTENING), on_a_sequence()]
    kinds = {type(layer) for model in built for layer in model.layers}
    assert kinds >= {*LINEAR, *PER_CHANNEL}


# Every kind of layer of the VGG-16 is in that with batch normalisation.
@pytest.mark.parametrize("name", ["mlp"] if ON_JAX else sorted(SMALL.keys() - {"vgg16"}))
def test_losses_and_accuracies_on_our_networks(name: str) -> None:
    model = network(name)
    removed = some_nodes(sizes_of(model))
    exact = all_scores(scorer_of(model), removed)
    reference = all_scores(scorer_of(model, ReferenceScorer), removed)
    for layer, scores in exact.items():
        for one, other in zip(scores, reference[layer], strict=True):
            assert one.loss == pytest.approx(other.loss, rel=1e-6)
            assert one.accuracy == other.accuracy


@pytest.mark.parametrize("name", ["mlp", "cnn"])
def test_a_network_has_the_same_loss_seen_from_every_layer(name: str) -> None:
    model = network(name)
    scorer, removed = scorer_of(model), some_nodes(sizes_of(model))
    expected = scorer_of(model, ReferenceScorer).evaluate(removed)
    for layer in (None, *sizes_of(model)):
        found = scorer.evaluate(removed, layer=layer)
        assert found.loss == pytest.approx(expected.loss, rel=1e-6)
        assert found.accuracy == expected.accuracy


@pytest.mark.parametrize("side", [4, 5], ids=["product", "convolution"])
@pytest.mark.parametrize(
    "how",
    [{"padding": "same"}, {"strides": (2, 1)}, {"dilation_rate": 2, "padding": "same"}],
    ids=["same", "strides", "dilation"],
)
def test_a_node_is_taken_from_small_maps_as_from_large_ones(side: int, how: dict[str, Any]) -> None:
    """Up to `FEW_POSITIONS` a reader's convolution of one channel is a matrix product."""
    assert (side**2 <= FEW_POSITIONS) == (side == 4)
    model = keras.Sequential(
        [
            keras.Input((side, side, 2), dtype="uint8"),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Conv2D(5, 3, padding="same", activation="relu", name="conv1"),
            keras.layers.Conv2D(6, (3, 2), activation="relu", **how),
            keras.layers.Flatten(),
            keras.layers.Dense(4),
        ]
    )
    randomise(model)
    assert largest_difference(model, {"conv1": [3]}) <= 1e-6


def test_dense_layers_at_every_position_of_an_image() -> None:
    """A Dense layer without a Flatten before it reads its nodes at each position by itself."""
    drawn_anew: dict[str, Any] = {"kernel_initializer": "zeros"}
    model = keras.Sequential(
        [
            keras.Input((SIDE, SIDE, 2), dtype="uint8"),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Dense(5, activation="relu", **drawn_anew),
            keras.layers.Dense(4, activation="relu", **drawn_anew),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(4, **drawn_anew),
        ]
    )
    randomise(model)
    assert largest_difference(model, {}) <= 1e-6


def test_of_equal_logits_the_first_class_is_the_prediction() -> None:
    model = network("mlp")
    output = read_chain(model).layers[-1].name
    model.get_layer(output).set_weights([a * 0 for a in model.get_layer(output).get_weights()])
    exact, reference = (scorer_of(model, kind) for kind in (ExactScorer, ReferenceScorer))
    accuracies = [s.score("dense3", {}, [0, 1])[1].accuracy for s in (exact, reference)]
    assert 0 < accuracies[0] == accuracies[1] < 1


def test_a_silent_node_changes_nothing_and_costs_nothing() -> None:
    model = network("mlp")
    kernel, bias = model.get_layer("dense2").get_weights()
    kernel[:, 7], bias[7] = 0.0, -1.0
    model.get_layer("dense2").set_weights([kernel, bias])
    scorer = scorer_of(model)
    images = [scorer.work.images]
    for nodes in ([0], [0], [0, 7]):
        *_, silent = scorer.score("dense2", {}, nodes)
        images.append(scorer.work.images)
    assert images[3] - images[2] == images[2] - images[1]
    assert silent.loss == pytest.approx(scorer.evaluate({}).loss, rel=1e-6)


def test_a_loss_that_is_no_number_names_the_node_the_layer_and_the_batch() -> None:
    model = network("mlp")
    kernel, bias = model.get_layer("dense2").get_weights()
    kernel[0, 0] = np.inf
    model.get_layer("dense2").set_weights([kernel, bias])
    with pytest.raises(NumericalError, match=r"node 3 of layer dense3.*in batch 1 of 64 "):
        scorer_of(model).score("dense3", {}, [3])


# --- bits ---------------------------------------------------------------------------------------


def many_and_few(activation: str = "relu") -> keras.Model:
    """1,000 images of 1,024 nodes fill 533 steps of 1,920 pairs; of 512 nodes, 83 of 6,144."""
    stack = [keras.Input((6, 6, 1), dtype="uint8"), keras.layers.Flatten()]
    dense = [
        keras.layers.Dense(nodes, activation=activation, kernel_initializer="zeros", name=name)
        for nodes, name in ((1024, "many"), (512, "few"))
    ]
    model = keras.Sequential([*stack, *dense, keras.layers.Dense(4)])
    randomise(model)
    return model


@pytest.mark.usefixtures("steps_of_a_processor")
@pytest.mark.skipif(ON_JAX, reason="JAX fuses every step")
def test_steps_are_fused_where_they_are_many() -> None:
    model = many_and_few()
    scorer, literal = (scorer_of(model, kind, 1000) for kind in (ExactScorer, ReferenceScorer))
    assert [scorer._sizing.of(name).fused for name in ("many", "few")] == [True, False]
    found, expected = (one.score("many", {"few": (1,)}, range(5)) for one in (scorer, literal))
    wanted = [score.loss for score in expected]
    assert [score.loss for score in found] == pytest.approx(wanted, rel=1e-6)
    assert [s.accuracy for s in found] == [s.accuracy for s in expected]
    prepared = scorer._preparation._prepared
    assert prepared is not None
    (graph,) = prepared.program.score._graphs.values()
    kinds = {operation.type for operation in graph.concrete.graph.get_operations()}
    assert not kinds & {"MatMul", "BatchMatMulV2"}


def test_a_relu_keeps_what_is_no_number() -> None:
    values = np.array([-np.inf, -2.5, 0.0, 3.25, np.inf, np.nan], np.float32)
    found = np.asarray(backend.compiled(backend.relu)(keras.ops.convert_to_tensor(values)))
    assert np.array_equal(found, np.maximum(values, 0), equal_nan=True)


@pytest.mark.parametrize("activation", ["relu", "relu6", "leaky_relu", "hard_tanh"])
def test_a_fused_activation_makes_no_number_of_what_is_none(activation: str) -> None:
    model = many_and_few(activation)
    scorer = scorer_of(model, count=1000)
    kernel, bias = model.get_layer("few").get_weights()
    kernel[0, 0] = np.nan
    model.get_layer("few").set_weights([kernel, bias])
    scorer = ExactScorer(read_chain(model), scorer._set, batch_size=64, memory_budget_gib=4.0)
    with pytest.raises(NumericalError, match=r"layer many"):
        scorer.score("many", {}, [0])


@pytest.mark.usefixtures("fused")
@pytest.mark.parametrize(
    ("name", "layer", "count"),
    [
        ("mlp", "dense1", COUNT),
        ("mlp", "dense1", 3000),
        ("cnn", "conv4", COUNT),
        ("cnn", "conv2", COUNT),
    ],
)
def test_bits_do_not_depend_on_neighbours_place_or_history(
    name: str, layer: str, count: int
) -> None:
    """Of 3,000 images the candidates of a block spread over several steps."""
    model = network(name)
    removed = {**some_nodes(sizes_of(model)), layer: [9, 3]}
    alone = scorer_of(model, count=count).score(layer, removed, [5])[0]
    for block in ([5, 6, 7], [0, 1, 2, 5], [8, 5], [*range(10, 30), 5]):
        scores = scorer_of(model, count=count).score(layer, removed, block)
        assert scores[block.index(5)] == alone
    busy = scorer_of(model, count=count)
    busy.score(layer, {**removed, layer: []}, [9, 4])
    busy.score(layer, {**removed, layer: [9]}, [0, 3])
    busy.score(layer, removed, [1, 2])
    assert busy.score(layer, removed, [4, 5])[1] == alone


@pytest.mark.usefixtures("fused")
@pytest.mark.parametrize(("name", "count"), [("mlp", 5000), ("vgg16", COUNT), ("vgg16", 7000)])
def test_a_loss_has_the_same_bits_in_every_segment_of_a_step(name: str, count: int) -> None:
    """Where segments are no multiple of three, rows of a matrix product have other last bits."""
    scorer, rng = scorer_of(network(name), count=count), np.random.default_rng(0)
    for hidden in scorer._chain.hidden[-2:]:
        shape = scorer._sizing.of(hidden.name).step
        nodes = rng.integers(hidden.nodes, size=shape.segments, dtype=np.int32)
        rows = rng.integers(count, size=(shape.segments, shape.images), dtype=np.int32)
        step = Step(nodes, rows, np.ones(shape.segments, np.float32))
        expected = losses_in(scorer, hidden.name, step)
        for _ in range(8):
            order = rng.permutation(shape.segments)
            moved = Step(*(part[order] for part in step))
            assert np.array_equal(losses_in(scorer, hidden.name, moved), expected[order])


def losses_in(scorer: ExactScorer, layer: str, step: Step) -> NDArray[Any]:
    """Return (segments, images) losses that the compiled step of a layer gives."""
    scorer.score(layer, {}, [0])
    prepared = scorer._preparation._prepared
    assert prepared is not None
    ((_, cache),) = prepared.stretches()
    kept = (cache.outputs, cache.z)
    losses, _ = prepared.program.score(kept, cache._suffix, cache.labels, tuple(step))
    return np.asarray(losses).reshape(step.rows.shape)


def test_bits_do_not_depend_on_where_a_long_row_of_removals_was_interrupted() -> None:
    """z is rebuilt at fixed counts: one who patched all the way holds the bits of a newcomer."""
    model = network("ann")
    order = list(np.random.default_rng(0).permutation(128)[: REBUILD_EVERY + 6])
    live = scorer_of(model)
    for done in range(len(order)):
        live.score("dense1", {"dense1": order[:done]}, [order[done]])
    wanted, gone = [n for n in range(128) if n not in order][:9], {"dense1": order}
    expected = scorer_of(model).score("dense1", gone, wanted)
    assert live.score("dense1", gone, wanted) == expected
    assert live.evaluate(gone, layer="dense1") == scorer_of(model).evaluate(gone, layer="dense1")


def test_a_layers_outputs_have_the_same_bits_whatever_is_asked_for_beside_it() -> None:
    """A run resumed in an earlier layer computes alone what came by in one left alone."""
    hidden: dict[str, Any] = {"use_bias": False, "kernel_initializer": "zeros"}
    dense = [keras.layers.Dense(40, **hidden) for _ in range(3)]
    stack = [keras.Input((8, 8, 2), dtype="uint8"), keras.layers.Rescaling(1 / 255)]
    model = keras.Sequential([*stack, keras.layers.Flatten(), *dense, keras.layers.Dense(4)])
    randomise(model)
    scored, chain = scorer_of(model)._set, read_chain(model)
    weights, layers = weights_of(chain), chain.hidden

    def outputs(*asked: Hidden) -> Mapping[str, LayerOutputs]:
        return Prefix(chain, asked).run(weights, scored, slice(0, COUNT), 64)

    together = outputs(*layers)
    for layer in layers:
        for some in (outputs(layer), outputs(layers[0], layer) if layer != layers[0] else together):
            assert np.array_equal(some[layer.name].values, together[layer.name].values)


def test_draws_in_no_order_are_functions_of_themselves_alone() -> None:
    model = network("mlp")
    live, literal = scorer_of(model), scorer_of(model, ReferenceScorer)
    draws = [some_nodes(sizes_of(model), seed) for seed in range(3)]
    for draw in draws:
        found, expected = live.evaluate_unordered(draw), literal.evaluate_unordered(draw)
        assert found.loss == pytest.approx(expected.loss, rel=1e-6)
        assert found.accuracy == expected.accuracy
        backward = {layer: nodes[::-1] for layer, nodes in draw.items()}
        assert scorer_of(model).evaluate_unordered(backward) == found
    assert live.evaluate(draws[0]) == scorer_of(model).evaluate(draws[0])


def test_a_budget_too_small_for_the_activations_streams_them() -> None:
    model = three_layers(24)
    kept, streamed = scorer_of(model), scorer_of(model, gib=1.6e-5)
    removed = some_nodes(sizes_of(model))
    chain = read_chain(model)
    for layer, scores in all_scores(kept, removed).items():
        some = [score.node for score in scores][:3]
        again = streamed.score(layer, removed, some)
        for one, other in zip(again, scores, strict=False):
            assert one.loss == pytest.approx(other.loss, rel=1e-6)
            assert one.accuracy == other.accuracy
        before = streamed.work.multiply_adds
        first, _ = streamed.score(layer, removed, some[:2])
        assert first == again[0]
        prefix = work_of(chain, cut_weights(chain, weights_of(chain), removed), chain.find(layer))
        assert streamed.work.multiply_adds - before > COUNT * prefix.before
    assert streamed.block_width("conv1") > kept.block_width("conv1") == 1


# --- lists of removed nodes ---------------------------------------------------------------------


def pruned(
    model: keras.Model, strategy: Strategy, kind: type, stop: int = -1, gib: float = 4.0
) -> MemoryLedger:
    """Prune all layers; with `stop`, let a new scorer go on after so many steps."""
    layers = tuple(hidden.size for hidden in reversed(read_chain(model).hidden))
    scorer = scorer_of(model, kind, gib=gib)
    ledger = MemoryLedger(layers, scorer.evaluate({}))
    for step, _ in enumerate(prune(strategy, scorer, ledger, commit_every_s=0)):
        if step == stop:
            break
    if stop >= 0:
        again = scorer_of(model, kind, gib=gib)
        for _ in prune(strategy, again, ledger, commit_every_s=0):
            pass
    return ledger


@settings(max_examples=EXAMPLES // 2, **SLOW_TO_BUILD)
@given(networks(), st.sampled_from([Greedy(-1e-3, -2e-2), Greedy(-1e-3, None), Exhaustive(-1e-3)]))
def test_removed_nodes_equal_those_of_the_reference(model: keras.Model, strategy: Strategy) -> None:
    exact, literal = (pruned(model, strategy, kind) for kind in (ExactScorer, ReferenceScorer))
    assert exact.state.removed == literal.state.removed
    assert exact.state.evaluations == literal.state.evaluations


STREAMED = 1e-4
STOPS = (4,) if ON_JAX else (0, 4, 9, 15)


@pytest.mark.parametrize("gib", [4.0, STREAMED], ids=["kept", "streamed"])
@pytest.mark.parametrize(
    "strategy",
    [
        Greedy(-1e-3, -2e-2),
        Exhaustive(-1e-3),
        RandomWhileImproving(seed=0, nodes_at_a_time=2, tries=6),
    ],
    ids=["greedy", "exhaustive", "random"],
)
def test_an_interrupted_run_ends_with_the_same_bits(strategy: Strategy, gib: float) -> None:
    model = three_layers()
    sizing = scorer_of(model, gib=gib)._sizing
    stretches = [sizing.of(layer).stretch for layer in sizes_of(model)]
    assert (min(stretches) < COUNT) == (gib == STREAMED)
    whole = pruned(three_layers(), strategy, ExactScorer, gib=gib)
    assert whole.state.removals > 2
    for stop in STOPS:
        again = pruned(three_layers(), strategy, ExactScorer, stop, gib)
        assert again.entries == whole.entries
    literal = pruned(three_layers(), strategy, ReferenceScorer)
    assert literal.state.removed == whole.state.removed


@pytest.mark.skipif(ON_JAX, reason="JAX fuses every step: as above")
def test_an_interrupted_run_in_fused_steps_ends_with_the_same_bits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sizes, "FUSED_FROM", 0)
    strategy = Greedy(-1e-3, -2e-2)
    whole, again = (pruned(three_layers(), strategy, ExactScorer, stop) for stop in (-1, 4))
    assert again.entries == whole.entries
    literal = pruned(three_layers(), strategy, ReferenceScorer)
    assert literal.state.removed == whole.state.removed


def sharp(model: keras.Model) -> keras.Model:
    """Make a network sure of itself: some images make up most of its loss."""
    output = read_chain(model).layers[-1].name
    model.get_layer(output).set_weights([60 * a for a in model.get_layer(output).get_weights()])
    return model


@pytest.mark.usefixtures("steps_of_a_processor")
def test_abandoned_candidates_are_certain_to_be_ignored() -> None:
    scorer = scorer_of(sharp(three_layers(24)), count=600)
    limit = scorer.evaluate({}).loss
    nodes = list(range(24))
    bounded = scorer.score("conv1", {}, nodes, limits=Limits(give_up_above=limit))
    abandoned = [score for score in bounded if score.is_bound]
    assert 0 < len(abandoned) < len(nodes)
    true = {score.node: score for score in scorer.score("conv1", {}, nodes)}
    for score in bounded:
        if score.is_bound:
            assert limit < score.loss <= true[score.node].loss
        else:
            assert score == true[score.node]


def test_candidates_behind_one_that_is_enough_are_left() -> None:
    scorer = scorer_of(network("mlp"), count=2000)
    nodes = list(range(40))
    scores = scorer.score("dense1", {}, nodes)
    place = 25
    enough = Limits(enough_at=min(score.loss for score in scores[: place + 1]))
    first = next(n for n, score in enumerate(scores) if score.loss <= enough.enough_at)
    before = scorer.work.evaluations
    assert scorer.score("dense1", {}, nodes, limits=enough) == scores[: first + 1]
    assert scorer.work.evaluations == before + first + 1


@pytest.mark.usefixtures("steps_of_a_processor")
@pytest.mark.parametrize("layer", ["dense1", "conv1"])
def test_where_only_the_smallest_loss_matters_it_is_exact_and_the_others_are_bounds(
    layer: str,
) -> None:
    model, count = (network("mlp"), 3000) if layer == "dense1" else (three_layers(24), 600)
    scorer, nodes = scorer_of(sharp(model), count=count), list(range(24))
    true = {score.node: score for score in scorer.score(layer, {}, nodes)}
    limits = Limits(give_up_above=scorer.evaluate({}, layer=layer).loss + 1e-3, only_smallest=True)
    before = scorer.work.images
    found = scorer.score(layer, {}, nodes, limits=limits)
    assert [score.node for score in found] == nodes
    smallest = min(found, key=lambda score: score.loss)
    assert smallest == min(true.values(), key=lambda score: score.loss)
    bounds = [score for score in found if score.is_bound]
    assert len(bounds) > 5
    for score in found:
        expected = true[score.node]
        assert score == expected or smallest.loss < score.loss <= expected.loss
    asked = sum(len(scorer._preparation._prepared._kept.rows(node)) for node in nodes)  # type: ignore[union-attr]
    assert scorer.work.images - before < asked


@pytest.mark.usefixtures("steps_of_a_processor")
def test_greedy_records_a_bound_as_such() -> None:
    model, strategy = sharp(three_layers(24)), Greedy(1e-2, 1e-3)
    ledger = pruned(model, strategy, ExactScorer)
    unbounded = pruned(model, strategy, ReferenceScorer)
    assert ledger.state.removed == unbounded.state.removed
    ignored = [entry for entry in ledger.entries if isinstance(entry, Ignored)]
    assert all(entry.importance <= 1e-3 for entry in ignored)
    assert any(entry.is_bound for entry in ignored)


# --- refusals and packing -----------------------------------------------------------------------


@pytest.mark.parametrize("kind", [ExactScorer, ReferenceScorer])
@pytest.mark.parametrize("nodes", [[5, 5], [5, 9]], ids=["twice", "removed"])
def test_candidates_that_are_none_are_refused(nodes: list[int], kind: type) -> None:
    with pytest.raises(ValueError, match="twice, or among those removed"):
        scorer_of(network("mlp"), kind).score("dense1", {"dense1": [9]}, nodes)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"activation": "glu"}, r"odd_one.*glu"),
        ({"dtype": "mixed_float16"}, r"odd_one.*float16"),
        pytest.param(
            {"dtype": "float64"},
            r"odd_one.*float32",
            marks=pytest.mark.skipif(backend.has_float64(), reason="this backend has float64"),
        ),
    ],
)
def test_what_cannot_be_scored_exactly_is_refused_by_the_name_of_the_layer(
    options: dict[str, str], message: str
) -> None:
    model = keras.Sequential(
        [
            keras.Input((SIDE, SIDE, 2), dtype="uint8"),
            keras.layers.Flatten(),
            keras.layers.Dense(8, name="odd_one", **options),
            keras.layers.Dense(4),
        ]
    )
    with pytest.raises(ModelError, match=message):
        read_chain(model)


@given(
    st.lists(st.integers(0, 40), max_size=6),
    st.integers(1, 4),
    st.integers(1, 8),
    st.booleans(),
)
def test_packing_keeps_every_pair_once_and_in_order(
    counts: list[int], segments: int, images: int, ended: bool
) -> None:
    """Also where a part ends its step."""
    rng = np.random.default_rng(0)
    parts = [Part(node, rng.permutation(50)[:count], node % 2) for node, count in enumerate(counts)]
    ends = [None if end else part for part in parts for end in (False, *[True] * ended)]
    found: dict[int, list[int]] = {part.node: [] for part in parts}
    used = 0
    for step, pieces in packed(ends, StepShape(segments, images)):
        assert step.nodes.shape == step.scales.shape == (segments,)
        assert step.rows.shape == (segments, images)
        filled = [*pieces, None]
        for piece, other in pairwise(filled):
            count = piece.rows.stop - piece.rows.start
            first, until = piece.slot // images, -(-(piece.slot + count) // images)
            assert until <= (segments if other is None else other.slot // images)
            assert (step.nodes[first:until] == piece.part.node).all()
            assert (step.scales[first:until] == piece.part.scale).all()
            found[piece.part.node] += step.rows.reshape(-1)[piece.slot :][:count].tolist()
            used += until - first
    assert found == {part.node: part.rows.tolist() for part in parts}
    assert used <= sum(-(-len(part.rows) // images) for part in parts)
