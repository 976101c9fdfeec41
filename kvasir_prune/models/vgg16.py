"""VGG-16, configuration D of Simonyan and Zisserman 2015 (arXiv 1409.1556)."""

from __future__ import annotations

from itertools import islice
from typing import Any

import keras
import numpy as np

from kvasir_prune.config.model import VGG16_BLOCKS, Vgg16
from kvasir_prune.errors import ModelError

IMAGENET_MEAN_RGB = (123.68, 116.779, 103.939)


def layers(config: Vgg16) -> list[keras.layers.Layer]:
    """Return the hidden layers, named as in `keras.applications.VGG16`.

    ImageNet's own preprocessing becomes part of the model: its mean colour is subtracted here,
    its BGR order is folded into the first kernel by `load_imagenet`.
    """
    first: keras.layers.Layer = keras.layers.Rescaling(1 / 255, name="scale_to_unit_range")
    if config.weights == "imagenet":
        offset = [-mean for mean in IMAGENET_MEAN_RGB]
        first = keras.layers.Rescaling(1.0, offset=offset, name="imagenet_mean")
    stack = [first]
    hidden = iter(config.hidden_layers)
    for block, (convolutions, _) in enumerate(VGG16_BLOCKS, start=1):
        for layer in islice(hidden, convolutions):
            stack += _convolution(layer.name, layer.nodes, config)
        stack.append(keras.layers.MaxPooling2D(2, name=f"block{block}_pool"))
    stack.append(keras.layers.Flatten(name="flatten"))
    for layer in hidden:
        stack.append(
            keras.layers.Dense(
                layer.nodes,
                activation="relu",
                kernel_initializer=config.initializer,
                name=layer.name,
            )
        )
        if config.dropout:
            stack.append(keras.layers.Dropout(config.dropout, name=f"{layer.name}_dropout"))
    return stack


def _convolution(name: str, filters: int, config: Vgg16) -> list[keras.layers.Layer]:
    settings: dict[str, Any] = {
        "padding": "same",
        "kernel_initializer": config.initializer,
        "name": name,
    }
    if not config.batch_norm:
        return [keras.layers.Conv2D(filters, 3, activation="relu", **settings)]
    return [
        keras.layers.Conv2D(filters, 3, use_bias=False, **settings),
        keras.layers.BatchNormalization(name=f"{name}_bn"),
        keras.layers.ReLU(name=f"{name}_relu"),
    ]


def load_imagenet(model: keras.Model) -> None:
    """Copy the ImageNet weights of the thirteen convolutions into `model`.

    Raises:
        ModelError: the weights are neither cached nor downloadable.
    """
    try:
        source = keras.applications.VGG16(include_top=False, weights="imagenet")
    except Exception as error:
        raise ModelError(
            "The ImageNet weights of VGG-16 cannot be downloaded.",
            got=str(error),
            fix="download vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5 (its address is "
            "above) into ~/.keras/models/ on this machine, or set model.weights: null",
        ) from None
    copy_convolutions(source, model)


def copy_convolutions(source: keras.Model, model: keras.Model) -> None:
    """Copy convolutions by layer name from a network that expects BGR into one that takes RGB.

    Args:
        source: a VGG-16 with the layer names of `keras.applications`.
        model: one of ours; block1_conv1 receives its kernel with the input channels reversed.
    """
    for block, (convolutions, _) in enumerate(VGG16_BLOCKS, start=1):
        for number in range(1, convolutions + 1):
            name = f"block{block}_conv{number}"
            kernel, bias = source.get_layer(name).get_weights()
            if name == "block1_conv1":
                kernel = np.ascontiguousarray(kernel[:, :, ::-1, :])
            model.get_layer(name).set_weights([kernel, bias])
