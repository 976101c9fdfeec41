"""The hidden layers of a network, as they are named on the command line."""

from __future__ import annotations

import re

import typer

from kvasir_prune.config.model import Vgg16
from kvasir_prune.types import LayerSize

_LAYER = re.compile(r"([\w.-]+):([1-9]\d{0,8})")


def layers_named(text: str) -> tuple[LayerSize, ...]:
    """Return the layers that `vgg16` or `conv1:32,dense:128` names, first to last.

    Raises:
        typer.BadParameter: it is neither.
    """
    if text == "vgg16":
        return Vgg16(name="vgg16").hidden_layers
    found = [_LAYER.fullmatch(part.strip()) for part in text.split(",")]
    layers = [LayerSize(match[1], int(match[2])) for match in found if match]
    if len(layers) < len(found) or len({layer.name for layer in layers}) < len(layers):
        raise typer.BadParameter(
            f"{text!r} is neither vgg16 nor a list of layers and their nodes, first to last, such "
            "as conv1:32,dense:128, each name once",
            param_hint="--layers",
        )
    return tuple(layers)
