"""Reading foreign networks as chains: what is read computes what Keras does, the rest is named."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from sklearn.datasets import load_digits

from kvasir_prune.errors import ModelError
from kvasir_prune.evaluation.cost import cost_of
from kvasir_prune.evaluation.predict import predict
from kvasir_prune.models import Chain, cut, mask, read_chain, weights_of
from kvasir_prune.models.section import Section
from kvasir_prune.models.supported import PER_CHANNEL, WEIGHTED_BEFORE
from kvasir_prune.models.work import LINEAR
from tests.networks import images_and_labels, randomise
from tests.test_house import ROOT

Layer = keras.layers.Layer
SHAPE = (8, 8, 3)


def sequential(*stack: Layer, dtype: str = "uint8") -> keras.Model:
    model = keras.Sequential([keras.Input(SHAPE, dtype=dtype), *stack])
    randomise(model)
    return model


def dense(*before: Layer, hidden: Any = "relu", behind: tuple[Layer, ...] = ()) -> keras.Model:
    """Two Dense layers, with layers before the first and behind the second."""
    first = keras.layers.Dense(6, activation=hidden, name="first")
    last = keras.layers.Dense(4, name="last")
    return sequential(*before, keras.layers.Flatten(), first, last, *behind)


def functional(body: Callable[[Any], Any], shape: tuple[int, ...] = (4,)) -> keras.Model:
    """What `body` makes of the input, and an output layer."""
    inputs = keras.Input(shape)
    return keras.Model(inputs, keras.layers.Dense(2, name="out")(body(inputs)))


def logits(chain: Chain, images: Any, removed: dict[str, list[int]] | None = None) -> Any:
    """As the scorers compute them: compiled, in padded steps."""
    weights = mask(chain, weights_of(chain), removed or {})
    steps = predict(Section(chain), weights, images, np.arange(len(images)), batch_size=16)
    return np.concatenate(list(steps))


# --- what is read computes what Keras does ------------------------------------------------------

BEFORE: list[Callable[[], list[Layer]]] = [
    lambda: [keras.layers.RandomFlip(), keras.layers.RandomRotation(0.2)],
    lambda: [keras.layers.RandomTranslation(0.2, 0.2), keras.layers.RandomZoom(0.3)],
    lambda: [keras.layers.RandomContrast(0.4), keras.layers.RandomBrightness(0.4)],
    lambda: [keras.layers.CenterCrop(6, 6), keras.layers.GaussianNoise(0.3)],
    # Of integers it makes integers again, rounded.
    lambda: [keras.layers.Resizing(5, 7), keras.layers.Rescaling(1 / 255)],
    lambda: [keras.layers.Rescaling([1.0, 2.0, 3.0], [0.1, 0.2, 0.3]), keras.layers.PReLU()],
    lambda: [keras.layers.Rescaling(1 / 255), keras.layers.BatchNormalization()],
    lambda: [keras.layers.Cropping2D(1), keras.layers.Permute((2, 1, 3))],
    lambda: [keras.layers.MaxPooling2D(2), keras.layers.Reshape((8, 2, 3))],
]


@pytest.mark.parametrize("before", BEFORE, ids=lambda stack: type(stack()[0]).__name__)
def test_what_stands_before_the_first_nodes_is_as_keras_has_it(
    before: Callable[[], list[Layer]],
) -> None:
    model = dense(*before())
    images, _ = images_and_labels(SHAPE, 20)
    expected = model(images, training=False)
    np.testing.assert_allclose(logits(read_chain(model), images), expected, rtol=1e-5, atol=1e-4)


def test_an_adapted_normalisation_survives_the_cut() -> None:
    images, _ = images_and_labels(SHAPE, 50)
    normalisation = keras.layers.Normalization()
    normalisation.adapt(images.astype(np.float32))
    model = keras.Sequential([keras.Input(SHAPE, dtype="uint8"), normalisation])
    for layer in dense().layers:
        model.add(layer)
    chain = read_chain(model)
    np.testing.assert_allclose(logits(chain, images), model(images), rtol=1e-5, atol=1e-5)
    removed = {"first": [1, 4]}
    masked = logits(chain, images, removed)
    np.testing.assert_allclose(cut(chain, removed)(images), masked, rtol=1e-5, atol=1e-5)


def test_layers_shared_with_other_networks_are_read_in_their_own() -> None:
    """Keras has no `layer.output` for them."""
    model = dense(keras.layers.Rescaling(1 / 255))
    other = keras.Sequential([keras.Input((8, 4, 3), dtype="uint8"), *model.layers[:2]])
    assert other.output_shape == (None, 96)
    assert read_chain(model).shapes == ((8, 8, 3), (192,), (6,), (4,))
    assert cost_of(model).flops == 2 * (192 * 6 + 6 * 4)


SOFTMAX: list[tuple[Any, tuple[Layer, ...]]] = [
    ("softmax", ()),
    (keras.layers.Softmax(), ()),
    (None, (keras.layers.Softmax(),)),
    (None, (keras.layers.Dropout(0.5), keras.layers.Activation("softmax"))),
]


@pytest.mark.parametrize(("activation", "behind"), SOFTMAX)
def test_logits_are_read_without_the_softmax(activation: Any, behind: tuple[Layer, ...]) -> None:
    output = keras.layers.Dense(4, activation=activation, name="out")
    stack = [type(layer).from_config(layer.get_config()) for layer in behind]
    model = sequential(
        keras.layers.Rescaling(1 / 255),
        keras.layers.Flatten(),
        keras.layers.Dense(5, name="first"),
        output,
        *stack,
    )
    chain, (images, _) = read_chain(model), images_and_labels(SHAPE, 20)
    found = keras.ops.softmax(logits(chain, images))
    np.testing.assert_allclose(found, model(images, training=False), rtol=1e-5, atol=1e-6)
    # 192*5 + 5*4 multiply-adds, two operations each.
    assert cost_of(model).flops == 2 * (960 + 20)


def example() -> str:
    """The Python that the README shows."""
    return (ROOT / "README.md").read_text().split("```python\n")[1].split("```")[0]


def test_the_example_of_the_readme_prunes_a_trained_network_of_one_s_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What plain Keras says of the pruned file is what the ledger says."""
    digits = load_digits()
    images, labels = digits.images[..., None].astype(np.float32), digits.target
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.RandomTranslation(0.1, 0.1, seed=0),
            keras.layers.Rescaling(1 / 16),
            keras.layers.Conv2D(6, 3),
            keras.layers.BatchNormalization(),
            keras.layers.ReLU(),
            keras.layers.SpatialDropout2D(0.1),
            keras.layers.MaxPooling2D(2),
            keras.layers.Flatten(),
            keras.layers.Dense(24, activation=keras.layers.LeakyReLU()),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(images, labels, batch_size=64, epochs=4, verbose=0)
    before = model.evaluate(images, labels, verbose=0)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"model": model, "images": images, "labels": labels}
    exec(example(), names)
    pruned = keras.models.load_model("pruned.keras")
    assert pruned.count_params() < model.count_params()
    found, state = pruned.evaluate(images, labels, verbose=0), names["ledger"].state
    assert state.removals > 0
    assert found == pytest.approx(state.current.loss, rel=1e-5)
    assert found < before < np.log(10)


def test_the_readme_lists_what_is_supported() -> None:
    readme = (ROOT / "README.md").read_text()
    for kind in (*LINEAR, *PER_CHANNEL, *WEIGHTED_BEFORE):
        assert re.search(rf"\b{kind.__name__}\b", readme), kind


# --- what is refused, by name -------------------------------------------------------------------


def residual(x: Any) -> Any:
    x = keras.layers.Dense(4, name="first")(x)
    return keras.layers.Add(name="odd")([x, keras.layers.Dense(4)(x)])


def with_operations(x: Any) -> Any:
    return keras.layers.Dense(4)(keras.ops.relu(x) * 3)


def with_a_cast(x: Any) -> Any:
    return keras.layers.Dense(4)(keras.ops.cast(x, "float32") / 255)


def shared(x: Any) -> Any:
    layer = keras.layers.Dense(4, name="odd")
    return layer(layer(x))


def nested(x: Any) -> Any:
    inner = keras.Sequential([keras.layers.Dense(5), keras.layers.Dense(4)], name="odd")
    return keras.layers.Dense(4)(inner(x))


class Scale(keras.layers.Layer):
    """A layer that takes more than values."""

    def call(self, values: Any, factor: float = 1.0) -> Any:
        return values * factor


def with_an_argument(x: Any) -> Any:
    return keras.layers.Dense(4)(Scale(name="odd")(x, factor=3.0))


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (residual, '"odd" joins'),
        (with_operations, '"relu.*" is not a layer'),
        (with_a_cast, '"(cast|true_divide|divide).*" is not a layer'),
        (shared, '"odd" is called 2 times'),
        (nested, '"odd" is nested'),
        (with_an_argument, '"odd"(.|\n)*factor'),
    ],
)
def test_graphs_that_are_no_path_of_layers_are_refused_by_name(
    body: Callable[[Any], Any], words: str
) -> None:
    with pytest.raises(ModelError, match=words):
        read_chain(functional(body))


def test_a_sequential_model_in_a_sequential_model_is_refused_by_name() -> None:
    base = keras.Sequential([keras.layers.Dense(5)], name="base")
    with pytest.raises(ModelError, match=r'"base" is nested(.|\n)*to mend it'):
        read_chain(dense(base))


def test_several_inputs_or_outputs_are_refused_by_name() -> None:
    inputs = keras.Input((4,), name="in1")
    x = keras.layers.Dense(4, name="first")(inputs)
    out, side = keras.layers.Dense(2, name="out")(x), keras.layers.Dense(2, name="side")(x)
    with pytest.raises(ModelError, match=r'2 outputs(.|\n)*"out", "side"'):
        read_chain(keras.Model(inputs, [out, side]))
    other = keras.Input((4,), name="in2")
    with pytest.raises(ModelError, match=r'2 inputs(.|\n)*"in1", "in2"'):
        read_chain(keras.Model([inputs, other], out))


class Subclassed(keras.Model):
    """A network whose layers only its `call` knows."""

    def __init__(self) -> None:
        super().__init__(name="mine")
        self.inner = keras.layers.Dense(2)

    def call(self, values: Any) -> Any:
        return self.inner(values)


class Doubling(keras.Sequential):
    """A network that does more than its layers."""

    def call(self, values: Any, **options: Any) -> Any:
        return 2 * super().call(values, **options)


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (Subclassed(), '"mine"(.|\n)*Subclassed with a `call` of its own'),
        (Doubling([keras.Input((4,)), *map(keras.layers.Dense, (3, 2))]), "Doubling"),
        (keras.Sequential(map(keras.layers.Dense, (3, 2)), name="mine"), '"mine"(.|\n)*no inputs'),
        (keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)]), "no hidden layer"),
        (keras.Sequential([keras.Input((4,)), keras.layers.ReLU()]), "no hidden layer"),
        (
            keras.Sequential(
                [
                    keras.Input((None, None, 3)),
                    keras.layers.Conv2D(4, 3),
                    keras.layers.GlobalAveragePooling2D(),
                    keras.layers.Dense(2),
                ]
            ),
            r"any size(.|\n)*keras\.Input",
        ),
    ],
)
def test_networks_without_a_path_of_hidden_layers_are_refused(
    model: keras.Model, words: str
) -> None:
    with pytest.raises(ModelError, match=words):
        read_chain(model)


def quantised(layer: Layer) -> Layer:
    layer.build((None, 4))
    layer.quantize("int8")
    return layer


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        (keras.layers.Dense(4, activation="softmax", name="odd"), "softmax"),
        (keras.layers.Dense(4, activation=keras.layers.Softmax(), name="odd"), "Softmax"),
        (keras.layers.Activation("softmax", name="odd"), "softmax"),
        (keras.layers.Softmax(name="odd"), "Softmax"),
        (keras.layers.Activation(lambda x: keras.ops.softmax(2 * x), name="odd"), "lambda"),
        (keras.layers.Dense(4, activation=partial(keras.ops.softmax, axis=-1), name="odd"), "part"),
        (keras.layers.Rescaling([1.0, 2.0, 3.0, 4.0], name="odd"), "differently"),
        (keras.layers.PReLU(shared_axes=[1], name="odd"), "one slope"),
        (keras.layers.LayerNormalization(name="odd"), "LayerNormalization"),
        (keras.layers.Reshape((2, 2), name="odd"), "Reshape"),
        (keras.layers.Dense(4, dtype="float64", name="odd"), r"float64"),
        (quantised(keras.layers.Dense(4, name="odd")), "quantised"),
    ],
)
def test_layers_that_mix_channels_or_compute_otherwise_are_refused_by_name(
    layer: Layer, words: str
) -> None:
    stack = [keras.Input((4,)), keras.layers.Dense(4), layer, keras.layers.Flatten()]
    with pytest.raises(ModelError, match=f'"odd"(.|\n)*{words}'):
        read_chain(keras.Sequential([*stack, keras.layers.Dense(2)]))


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        (keras.layers.Rescaling(1 / 255, dtype="mixed_float16", name="odd"), "float16"),
        (keras.layers.DepthwiseConv2D(3, name="odd"), "DepthwiseConv2D"),
        (keras.layers.LayerNormalization(name="odd"), "LayerNormalization"),
        (keras.layers.BatchNormalization(axis=1, name="odd"), "channel axis"),
    ],
)
def test_layers_before_the_first_nodes_are_refused_by_name(layer: Layer, words: str) -> None:
    with pytest.raises(ModelError, match=f'"odd"(.|\n)*{words}'):
        read_chain(dense(keras.layers.Rescaling(1.0), layer))


@pytest.mark.parametrize(
    "behind",
    [
        [keras.layers.ReLU(name="odd")],
        [keras.layers.Softmax(axis=0, name="odd")],
        [keras.layers.Softmax(), keras.layers.Softmax(name="odd")],
        [keras.layers.EinsumDense("ab,bc->ac", 4, name="odd")],
    ],
    ids=lambda stack: type(stack[-1]).__name__,
)
def test_what_changes_the_answer_behind_the_output_is_refused_by_name(behind: list[Layer]) -> None:
    with pytest.raises(ModelError, match='"odd" follows the output layer'):
        read_chain(dense(behind=tuple(behind)))


def test_an_output_for_every_position_is_refused_by_name() -> None:
    stack = [keras.Input((4, 4, 1)), keras.layers.Conv2D(3, 1), keras.layers.Dense(2, name="maps")]
    with pytest.raises(ModelError, match='"maps"'):
        read_chain(keras.Sequential(stack))


def test_an_output_that_is_no_softmax_is_refused_by_name() -> None:
    model = sequential(
        keras.layers.Flatten(),
        keras.layers.Dense(3),
        keras.layers.Dense(1, activation="sigmoid", name="odd"),
    )
    with pytest.raises(ModelError, match='"odd" has the activation sigmoid'):
        read_chain(model)
