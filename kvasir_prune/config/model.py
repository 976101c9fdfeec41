"""The `model` section: VGG-16 and the three simple networks of thesis section 3.1."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from kvasir_prune.config.base import PositiveInt, Section
from kvasir_prune.types import LayerSize

VGG16_BLOCKS = ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))
"""Convolutions and filters of each block of configuration D."""

Rate = Annotated[float, Field(ge=0.0, lt=1.0)]


class BaseNetwork(Section):
    """Keys that every network has."""

    input_side_px: Annotated[int, Field(ge=4, le=4096)] | None = None
    """Side of the square input in pixels; null keeps the images' own size (all must agree)."""
    initializer: str = "glorot_uniform"
    """Keras name of the kernel initializer."""


class Vgg16(BaseNetwork):
    """VGG-16 (Simonyan and Zisserman 2015), layer names as in `keras.applications`."""

    name: Literal["vgg16"]
    input_side_px: Annotated[int, Field(ge=32, le=4096)] = 224
    """Side of the square input in pixels."""
    width: Annotated[float, Field(gt=0.0, le=1.0)] = 1.0
    """Factor on the number of filters of every convolution."""
    dense_units: PositiveInt = 4096
    """Nodes of fc1 and of fc2."""
    batch_norm: bool = False
    """Batch normalisation between every convolution and its ReLU."""
    dropout: Rate = 0.0
    """Dropout after fc1 and fc2."""
    weights: Literal["imagenet"] | None = None
    """Start from the ImageNet weights of the convolutions, or from the initializer."""

    @property
    def hidden_layers(self) -> tuple[LayerSize, ...]:
        """The prunable layers, first to last."""
        convolutions = (
            LayerSize(f"block{block}_conv{number}", max(1, round(filters * self.width)))
            for block, (convolutions, filters) in enumerate(VGG16_BLOCKS, start=1)
            for number in range(1, convolutions + 1)
        )
        return (*convolutions, *(LayerSize(name, self.dense_units) for name in ("fc1", "fc2")))

    @model_validator(mode="after")
    def _imagenet_needs_its_own_shape(self) -> Vgg16:
        if self.weights == "imagenet" and (self.width != 1.0 or self.batch_norm):
            raise ValueError("weights: imagenet demands width: 1.0 and batch_norm: false")
        return self


class Ann(BaseNetwork):
    """One hidden Dense layer of 128 ReLU nodes."""

    name: Literal["ann"]
    dropout: Rate = 0.0
    """Dropout after the hidden layer (thesis section 4.4)."""


class Mlp(BaseNetwork):
    """Hidden Dense layers of 128, 64 and 32 ReLU nodes."""

    name: Literal["mlp"]
    dropout: Rate = 0.0
    """Dropout after every hidden layer (thesis section 4.4)."""


class Cnn(BaseNetwork):
    """3x3 convolutions of 32, 64, 128 (each pooled) and 256 filters, Dense 64; all ReLU."""

    name: Literal["cnn"]


ModelConfig = Annotated[Vgg16 | Ann | Mlp | Cnn, Field(discriminator="name")]
