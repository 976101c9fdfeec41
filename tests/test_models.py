"""The networks: their shape against hand counts, masks against cuts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from kvasir_prune.config.model import Ann, Cnn, Mlp, Vgg16
from kvasir_prune.errors import DeviceError, ModelError
from kvasir_prune.evaluation.cost import cost_of
from kvasir_prune.evaluation.predict import predict
from kvasir_prune.models import build, cut, mask, read_chain, weights_of
from kvasir_prune.models.section import Section
from kvasir_prune.models.vgg16 import copy_convolutions
from tests.networks import CLASSES, SMALL, images_and_labels, network, randomise, some_nodes


def logits(chain, weights, images) -> NDArray[np.float32]:  # type: ignore[no-untyped-def]
    rows = np.arange(len(images))
    return np.concatenate(list(predict(Section(chain), weights, images, rows, batch_size=8)))


class Wavering(Section):
    """Computes one of its steps otherwise every second time: its last bit is flipped."""

    calls = 0

    def apply(self, loaded, steps, gate=None):  # type: ignore[no-untyped-def]
        for part in super().apply(loaded, steps, gate):
            self.calls += 1
            found = part.copy()
            found.view(np.uint32)[-1, -1] ^= self.calls == 2
            yield found


def test_logits_that_come_out_otherwise_the_second_time_are_refused() -> None:
    chain, (images, _) = read_chain(network("mlp")), images_and_labels(SMALL["mlp"][1], 20)
    arguments = (weights_of(chain), images, np.arange(20))
    steps = predict(Wavering(chain), *arguments, batch_size=8, verify_every=2)
    with pytest.raises(DeviceError, match="image 0 and following"):
        next(steps)
    sound, trusted = (
        np.concatenate(list(predict(Section(chain), *arguments, batch_size=8, verify_every=every)))
        for every in (1, 0)
    )
    assert np.array_equal(sound, trusted)


def softmax(values: NDArray[np.float32]) -> NDArray[np.float64]:
    shifted = np.exp(values.astype(np.float64) - values.max(axis=1, keepdims=True))
    return shifted / shifted.sum(axis=1, keepdims=True)


# --- shapes -------------------------------------------------------------------------------------


def test_vgg16_has_the_parameters_and_the_names_of_the_literature() -> None:
    """138,357,544 parameters for 1,000 classes (Simonyan and Zisserman 2015, Table 2: 138 M)."""
    ours = build(Vgg16(name="vgg16"), (224, 224, 3), 1000, seed=0)
    assert ours.count_params() == 138_357_544
    theirs = keras.applications.VGG16(weights=None)
    extra = {"scale_to_unit_range", "probabilities"}
    names = [layer.name for layer in ours.layers if layer.name not in extra]
    known = [x.name for x in theirs.layers if not isinstance(x, keras.layers.InputLayer)]
    assert names == known
    # 15.47 G multiply-adds, counted by hand from kernel sizes and output positions.
    assert cost_of(ours).flops == 2 * 15_470_264_320


def test_vgg16_for_kvasir_is_the_thesis_network() -> None:
    chain = read_chain(build(Vgg16(name="vgg16"), (224, 224, 3), 8, seed=0))
    assert [h.nodes for h in chain.hidden] == [
        *(64, 64, 128, 128, 256, 256, 256),
        *(512, 512, 512, 512, 512, 512, 4096, 4096),
    ]
    assert chain.find("block5_conv3").positions == 7 * 7


@pytest.mark.parametrize(
    ("config", "shape", "parameters"),
    [
        # 784*128+128 + 128*10+10
        (Ann(name="ann"), (28, 28, 1), 101_770),
        # 784*128+128 + 128*64+64 + 64*32+32 + 32*10+10
        (Mlp(name="mlp"), (28, 28, 1), 111_146),
        # 9*3*32+32 + 9*32*64+64 + 9*64*128+128 + 9*128*256+256 + 4*4*256*64+64 + 64*10+10
        (Cnn(name="cnn"), (32, 32, 3), 896 + 18_496 + 73_856 + 295_168 + 262_208 + 650),
    ],
)
def test_simple_networks_have_the_parameters_counted_by_hand(  # type: ignore[no-untyped-def]
    config, shape, parameters: int
) -> None:
    model = build(config, shape, 10, seed=0)
    assert cost_of(model).parameters == parameters
    assert model.output_shape == (None, 10)


def test_the_initial_weights_depend_on_the_seed_alone() -> None:
    def kernel(seed: int) -> NDArray[np.float32]:
        return np.asarray(build(Ann(name="ann"), (8, 8, 1), 10, seed=seed).get_weights()[0])

    assert np.array_equal(kernel(1), kernel(1))
    assert not np.array_equal(kernel(1), kernel(2))
    assert np.abs(kernel(1)).max() <= np.sqrt(6 / (64 + 128))  # Glorot uniform


def test_imagenet_preprocessing_is_part_of_the_model() -> None:
    """Our RGB network with copied weights equals Keras's own network on its own preprocessing."""
    source = keras.applications.VGG16(include_top=False, weights=None, input_shape=(64, 64, 3))
    randomise(source, 5)
    config = Vgg16(name="vgg16", input_side_px=64, dense_units=4)
    ours = build(config, (64, 64, 3), CLASSES, seed=0)
    _with_imagenet_input(ours)
    copy_convolutions(source, ours)
    images, _ = images_and_labels((64, 64, 3), 2)
    expected = source.predict(
        keras.applications.vgg16.preprocess_input(images.astype(np.float32)), verbose=0
    )
    features = keras.Model(ours.inputs, ours.get_layer("block5_pool").output)
    found = features.predict(images, verbose=0)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max())


def _with_imagenet_input(model: keras.Model) -> None:
    """Put ImageNet's scaling in the place of ours, as `weights: imagenet` does."""
    from kvasir_prune.models.vgg16 import IMAGENET_MEAN_RGB

    scaling = model.get_layer("scale_to_unit_range")
    scaling.scale, scaling.offset = 1.0, [-mean for mean in IMAGENET_MEAN_RGB]


def test_imagenet_weights_that_cannot_be_had_give_a_sentence(tmp_path: Path) -> None:
    code = (
        "from kvasir_prune.config.model import Vgg16\n"
        "from kvasir_prune.models import build\n"
        "build(Vgg16(name='vgg16', weights='imagenet', input_side_px=32), (32, 32, 3), 8, seed=0)\n"
    )
    nowhere = "http://127.0.0.1:9"
    environment = {"KERAS_HOME": str(tmp_path), "https_proxy": nowhere, "http_proxy": nowhere}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PATH": "", **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "ModelError" in done.stderr
    assert "cannot be downloaded" in done.stderr
    assert "model.weights: null" in done.stderr


# --- masks and cuts -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", SMALL)
def test_masks_equal_cuts(name: str) -> None:
    model = network(name)
    chain = read_chain(model)
    removed = some_nodes({h.name: h.nodes for h in chain.hidden})
    images, _ = images_and_labels(SMALL[name][1], 20)
    masked = logits(chain, mask(chain, weights_of(chain), removed), images)
    small = cut(chain, removed)
    np.testing.assert_allclose(
        small.predict(images, verbose=0), softmax(masked), rtol=1e-5, atol=1e-7
    )
    assert small.count_params() < model.count_params()
    left = {h.name: h.nodes for h in read_chain(small).hidden}
    assert left == {h.name: h.nodes - len(removed[h.name]) for h in chain.hidden}


@pytest.mark.parametrize("name", ["mlp", "vgg16_bn"])
def test_a_mask_is_the_node_s_output_set_to_zero(name: str) -> None:
    """Against Keras itself: the layer before the reader, with the node's channel zeroed."""
    chain = read_chain(network(name))
    images, _ = images_and_labels(SMALL[name][1], 8)
    hidden = chain.hidden[1]
    reader = chain.layers[hidden.consumer]
    before = keras.Model(chain.model.inputs, chain.layers[hidden.consumer - 1].output)
    values = before.predict(images, verbose=0)
    values[..., 2] = 0.0
    for layer in [reader, *chain.layers[hidden.consumer + 1 :]]:
        values = np.asarray(layer(values, training=False) if "bn" in layer.name else layer(values))
    found = logits(chain, mask(chain, weights_of(chain), {hidden.name: [2]}), images)
    np.testing.assert_allclose(found, values, rtol=1e-4, atol=1e-5)


def test_zeroing_incoming_weights_is_not_removal_with_a_sigmoid() -> None:
    """The thesis's way leaves sigmoid(0) = 0.5 behind; ours leaves nothing."""
    stack = [
        keras.Input((3,), dtype="float32"),
        keras.layers.Dense(2, activation="sigmoid", name="h"),
        keras.layers.Dense(2, name="out"),
    ]
    model = keras.Sequential(stack)
    randomise(model, 0)
    chain = read_chain(model)
    x = np.ones((4, 3), np.float32)
    found = logits(chain, mask(chain, weights_of(chain), {"h": [0]}), x)
    (kernel, bias), (out, out_bias) = (layer.get_weights() for layer in model.layers)
    sigmoid = 1 / (1 + np.exp(-(x @ kernel + bias)))
    np.testing.assert_allclose(found, sigmoid[:, 1:] @ out[1:] + out_bias, rtol=1e-5)


def test_pruned_model_loads_in_plain_keras_and_is_smaller(tmp_path: Path) -> None:
    chain = read_chain(network("vgg16"))
    small = cut(chain, some_nodes({h.name: h.nodes for h in chain.hidden}))
    chain.model.save(tmp_path / "model.keras")
    small.save(tmp_path / "pruned.keras")
    images, _ = images_and_labels(SMALL["vgg16"][1], 5)
    np.save(tmp_path / "images.npy", images)
    code = (
        "import sys, keras, numpy as np\n"
        "model = keras.models.load_model(sys.argv[1])\n"
        "assert 'kvasir_prune' not in sys.modules\n"
        "np.save(sys.argv[3], model.predict(np.load(sys.argv[2]), verbose=0))\n"
    )
    files = [str(tmp_path / name) for name in ("pruned.keras", "images.npy", "out.npy")]
    subprocess.run([sys.executable, "-c", code, *files], check=True, capture_output=True)
    np.testing.assert_allclose(
        np.load(tmp_path / "out.npy"), small.predict(images, verbose=0), rtol=1e-5, atol=1e-7
    )
    sizes = [(tmp_path / name).stat().st_size for name in ("pruned.keras", "model.keras")]
    assert sizes[0] < sizes[1]


def functional(**between: keras.layers.Layer) -> keras.Model:
    """A chain built the functional way, with one layer put between two linear ones."""
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(5, 3, padding="same", name="conv")(inputs)
    for name, layer in between.items():
        layer.name = name
        x = layer(x)
    if len(x.shape) == 4:
        x = keras.layers.Flatten(name="flatten")(x)
    x = keras.layers.Dense(6, activation="tanh", name="dense")(x)
    return keras.Model(inputs, keras.layers.Dense(3, activation="softmax", name="out")(x))


@pytest.mark.parametrize(
    "layer",
    [
        keras.layers.GlobalAveragePooling2D(),
        keras.layers.GlobalMaxPooling2D(),
        keras.layers.AveragePooling2D(2),
        keras.layers.MaxPooling2D(2),
        keras.layers.BatchNormalization(),
        keras.layers.Activation("sigmoid"),
        keras.layers.LeakyReLU(),
        keras.layers.Dropout(0.5),
        keras.layers.ZeroPadding2D(1),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_foreign_functional_chains_are_cut_the_same(layer: keras.layers.Layer) -> None:
    model = functional(between=type(layer).from_config(layer.get_config()))
    randomise(model, 2)
    chain = read_chain(model)
    removed = {"conv": [0, 3], "dense": [5]}
    images = images_and_labels((8, 8, 3), 6)[0].astype(np.float32) / 255
    masked = logits(chain, mask(chain, weights_of(chain), removed), images)
    found = cut(chain, removed).predict(images, verbose=0)
    np.testing.assert_allclose(found, softmax(masked), rtol=1e-5, atol=1e-7)


def test_batch_normalisation_behind_flatten_is_cut_position_by_position() -> None:
    model = functional(flat=keras.layers.Flatten(), norm=keras.layers.BatchNormalization())
    randomise(model, 4)
    chain = read_chain(model)
    images = images_and_labels((8, 8, 3), 6)[0].astype(np.float32) / 255
    masked = logits(chain, mask(chain, weights_of(chain), {"conv": [1, 2]}), images)
    found = cut(chain, {"conv": [1, 2]}).predict(images, verbose=0)
    np.testing.assert_allclose(found, softmax(masked), rtol=1e-5, atol=1e-7)


# --- refusals -----------------------------------------------------------------------------------


def test_unknown_layers_and_nodes_are_refused() -> None:
    chain = read_chain(network("ann"))
    with pytest.raises(ModelError, match='"dense9"'):
        mask(chain, weights_of(chain), {"dense9": [0]})
    with pytest.raises(ModelError, match="no such node"):
        cut(chain, {"dense1": [128]})
    with pytest.raises(ModelError, match="Nothing would be left"):
        cut(chain, {"dense1": range(128)})


def test_an_unknown_initializer_is_a_sentence() -> None:
    with pytest.raises(ModelError, match="cannot be built"):
        build(Ann(name="ann", initializer="glorot_unifrom"), (8, 8, 1), 10, seed=0)


def test_imagenet_weights_on_grey_images_are_a_sentence() -> None:
    with pytest.raises(ModelError, match="colour images"):
        build(Vgg16(name="vgg16", weights="imagenet", input_side_px=32), (32, 32, 1), 8, seed=0)
