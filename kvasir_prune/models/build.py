"""From the `model` section to a Keras model that takes uint8 RGB images and gives probabilities."""

from __future__ import annotations

import keras

from kvasir_prune.config.model import Ann, Cnn, Mlp, ModelConfig, Vgg16
from kvasir_prune.errors import ModelError
from kvasir_prune.models.simple import ann_layers, cnn_layers, mlp_layers
from kvasir_prune.models.vgg16 import layers as vgg16_layers
from kvasir_prune.models.vgg16 import load_imagenet


def build(
    config: ModelConfig, input_shape: tuple[int, int, int], classes: int, *, seed: int
) -> keras.Model:
    """Build the network, initialised from `seed`.

    Args:
        config: the `model` section.
        input_shape: (height, width, channels) of the uint8 images.
        classes: number of classes, at least 2.
        seed: of the initial weights.

    Returns:
        A Sequential model; scaling of the pixels is its first layer, its last two are `predictions`
        (Dense, logits) and `probabilities` (softmax).

    Raises:
        ModelError: unknown initializer, input too small for the pooling, ImageNet weights absent.
    """
    keras.utils.set_random_seed(seed)
    wants_imagenet = isinstance(config, Vgg16) and config.weights == "imagenet"
    if wants_imagenet and input_shape[2] != 3:
        raise ModelError(
            "The ImageNet weights are for colour images.",
            where="model.weights",
            got=f"images with {input_shape[2]} channel",
            expected="3 channels",
            fix="set model.weights: null",
        )
    try:
        stack = _hidden_layers(config)
        output = keras.layers.Dense(
            classes, kernel_initializer=config.initializer, name="predictions"
        )
        softmax = keras.layers.Softmax(name="probabilities")
        model = keras.Sequential(
            [keras.Input(input_shape, dtype="uint8"), *stack, output, softmax], name=config.name
        )
    except ValueError as error:
        raise ModelError(
            f"The network {config.name} cannot be built for images of {input_shape}.",
            where="model",
            got=str(error).splitlines()[0],
            fix="check model.input_side_px and model.initializer",
        ) from None
    if wants_imagenet:
        load_imagenet(model)
    return model


def _hidden_layers(config: ModelConfig) -> list[keras.layers.Layer]:
    match config:
        case Vgg16():
            return vgg16_layers(config)
        case Ann():
            return ann_layers(config)
        case Mlp():
            return mlp_layers(config)
        case Cnn():
            return cnn_layers(config)
