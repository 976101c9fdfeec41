"""The reference scorer against the literal way of the thesis: set_weights, then evaluate."""

from __future__ import annotations

import os
from collections.abc import Callable

import keras
import numpy as np
import pytest
from sklearn.metrics import accuracy_score, log_loss

from kvasir_prune import backend
from kvasir_prune.errors import NumericalError
from kvasir_prune.evaluation.metrics import cross_entropies, loss_accuracy
from kvasir_prune.importance.measure import measure
from kvasir_prune.importance.reference import ReferenceScorer
from kvasir_prune.importance.scorer import finite
from kvasir_prune.importance.scoring_set import ScoringSet
from kvasir_prune.importance.store import ClassCounts, ImportanceStore, classify
from kvasir_prune.models import read_chain
from kvasir_prune.types import LossAccuracy, Scored
from tests.networks import SMALL, images_and_labels, network

COUNT = 37


def scorer_of(model: keras.Model, shape: tuple[int, ...], **settings: float) -> ReferenceScorer:
    images, labels = images_and_labels(shape, COUNT)
    return ReferenceScorer(
        read_chain(model),
        ScoringSet(images, np.arange(COUNT), labels),
        batch_size=int(settings.get("batch_size", 16)),
        memory_budget_gib=settings.get("memory_budget_gib", 4.0),
    )


def literally(model: keras.Model, shape: tuple[int, ...], gone: dict[str, list[int]]) -> float:
    """The thesis: incoming weights and bias of the nodes to zero, evaluate, put them back."""
    kept = model.get_weights()
    for name, nodes in gone.items():
        kernel, bias = model.get_layer(name).get_weights()
        kernel[..., nodes], bias[nodes] = 0.0, 0.0
        model.get_layer(name).set_weights([kernel, bias])
    images, labels = images_and_labels(shape, COUNT)
    view = keras.Model(model.inputs, model.get_layer("predictions").output)
    view.compile(loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    loss = view.evaluate(images, labels, batch_size=COUNT, verbose=0)
    model.set_weights(kept)
    return float(loss)


@pytest.mark.parametrize("name", ["ann", "mlp", "cnn", "vgg16"])
def test_losses_equal_those_of_the_literal_way(name: str) -> None:
    model, shape = network(name), SMALL[name][1]
    scorer = scorer_of(model, shape)
    hidden = [h.name for h in read_chain(model).hidden]
    assert scorer.evaluate({}).loss == pytest.approx(literally(model, shape, {}), rel=1e-5)
    for layer in {hidden[0], hidden[-1]}:
        gone = {hidden[-1]: [1, 4]} if layer == hidden[0] and len(hidden) > 1 else {}
        for score in scorer.score(layer, gone, [0, 2, 5] if name != "vgg16" else [0, 2]):
            removed = {**gone, layer: [*gone.get(layer, []), score.node]}
            assert score.loss == pytest.approx(literally(model, shape, removed), rel=1e-5)


def test_a_score_is_the_loss_of_the_network_without_the_node() -> None:
    scorer = scorer_of(network("cnn"), SMALL["cnn"][1])
    removed = {"dense1": (3, 9), "conv4": (7,)}
    (score,) = scorer.score("conv4", removed, [11])
    whole = scorer.evaluate({**removed, "conv4": (7, 11)})
    assert score.loss == pytest.approx(whole.loss, rel=1e-6)
    assert score.accuracy == whole.accuracy


def test_bits_do_not_depend_on_what_is_kept_or_on_what_was_asked_before() -> None:
    shape = SMALL["cnn"][1]
    fresh = scorer_of(network("cnn"), shape).score("conv2", {"conv3": (1,)}, [5])
    frugal = scorer_of(network("cnn"), shape, memory_budget_gib=1e-9)
    assert frugal.score("conv2", {"conv3": (1,)}, [5]) == fresh
    busy = scorer_of(network("cnn"), shape)
    busy.score("conv3", {}, [0, 1, 2])
    busy.score("conv2", {"conv3": (1, 2)}, [4, 5, 6])
    assert busy.score("conv2", {"conv3": (1,)}, [3, 5])[1:] == fresh


def test_losses_and_accuracies_agree_with_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 3, (200, 5)).astype(np.float32)
    labels = rng.integers(0, 5, 200)
    probabilities = np.exp(logits.astype(float)) / np.exp(logits.astype(float)).sum(1)[:, None]
    found = loss_accuracy(logits, labels)
    assert found.loss == pytest.approx(log_loss(labels, probabilities), rel=1e-6)
    assert found.accuracy == accuracy_score(labels, logits.argmax(1))


def test_losses_come_from_logits_not_from_clipped_probabilities() -> None:
    """A hopeless image costs its 200 nats; probabilities in float32 would have underflowed."""
    logits = np.array([[200.0, 0.0]], np.float32)
    assert cross_entropies(logits, np.array([1]))[0] == 200.0


def test_a_loss_that_is_no_number_names_the_node_the_layer_and_the_batch() -> None:
    model = network("mlp")
    kernel, bias = model.get_layer("dense2").get_weights()
    kernel[0, 0] = np.inf
    model.get_layer("dense2").set_weights([kernel, bias])
    with pytest.raises(NumericalError, match=r"node 3 of layer dense3.*in batch 1 of 16 "):
        scorer_of(model, SMALL["mlp"][1]).score("dense3", {}, [3])


def test_the_first_image_whose_loss_is_no_number_is_named_with_its_batch() -> None:
    losses = np.zeros(40)
    losses[[33, 39]] = np.nan, np.inf
    words = "here; 2 of 40 images, image 33 of the scoring set first, in batch 3 of 16 images"
    with pytest.raises(NumericalError, match=words):
        finite(LossAccuracy(np.nan, 0.5), losses, where="here", batch_size=16)


def test_classes_of_nodes_at_their_thresholds() -> None:
    values = [-2e-5, -1e-5, -9e-6, 0.0, 1e-5, 1.1e-5]
    assert classify(values, -1e-5, 1e-5) == ClassCounts(important=1, zero=4, worse=1)


def test_importances_survive_interruption(tmp_path) -> None:  # type: ignore[no-untyped-def]
    model, shape = network("mlp"), SMALL["mlp"][1]
    layers = tuple(h.size for h in read_chain(model).hidden)
    scorer = scorer_of(model, shape)

    def store(name: str) -> ImportanceStore:
        return ImportanceStore(
            tmp_path / name, layers=layers, baseline=scorer.evaluate({}), low=-1e-5, high=1e-5
        )

    whole = store("whole.h5")
    for _ in measure(scorer, whole, commit_every_s=60):
        pass
    for step, _ in enumerate(measure(scorer, store("cut.h5"), commit_every_s=60)):
        if step == 140:
            break
    cut = ImportanceStore(tmp_path / "cut.h5")
    assert len(cut.measured) == 141
    assert not cut.complete
    for _ in measure(scorer, cut, commit_every_s=60):
        pass
    again = ImportanceStore(tmp_path / "cut.h5")
    assert again.measured == whole.measured
    assert again.complete
    assert again.counts() == whole.counts()
    first = again.measured[0]
    assert first.importance == again.baseline.loss - first.loss


def test_a_node_that_helps_has_a_negative_importance(tmp_path) -> None:  # type: ignore[no-untyped-def]
    store = ImportanceStore(
        tmp_path / "i.h5",
        layers=tuple(h.size for h in read_chain(network("ann")).hidden),
        baseline=LossAccuracy(0.5, 0.9),
        low=-1e-5,
        high=1e-5,
    )
    (helps,) = store.record(0, [Scored(0, loss=0.8, accuracy=0.7)])
    assert helps.importance == pytest.approx(-0.3)


def test_reduced_precision_is_off_as_soon_as_anything_is_compiled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for variable in ("ONEDNN_DEFAULT_FPMATH_MODE", "TF_SET_ONEDNN_FPMATH_MODE"):
        monkeypatch.setenv(variable, "BF16")
    reduced, full = reduced_precision()
    backend.compiled(lambda values: values)
    assert not [variable for variable in os.environ if "FPMATH" in variable]
    assert (reduced, full()) == (True, True)


def test_flags_that_let_xla_round_are_overruled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a flag given twice XLA takes the last."""
    monkeypatch.setenv("XLA_FLAGS", "--xla_cpu_enable_fast_math=true --xla_dump_to=here")
    for _ in range(2):
        backend.compute_in_full()
        *given, math, extremes = os.environ["XLA_FLAGS"].split()
        assert given[:2] == ["--xla_cpu_enable_fast_math=true", "--xla_dump_to=here"]
        assert math == "--xla_cpu_enable_fast_math=false"
        assert extremes == "--xla_cpu_enable_fast_min_max=false"


def reduced_precision() -> tuple[bool, Callable[[], bool]]:
    """Switch it on; say whether it is, and give what says whether it is off."""
    if backend.name() == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_tensor_float_32_execution(True)
        is_on = tf.config.experimental.tensor_float_32_execution_enabled
        return is_on(), lambda: not is_on()
    import jax

    jax.config.update("jax_default_matmul_precision", "bfloat16")
    return True, lambda: jax.config.jax_default_matmul_precision == "highest"
