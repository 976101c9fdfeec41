"""Keras's model files, published whole and read with a sentence where they are damaged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras

from kvasir_prune.errors import ModelError
from kvasir_prune.publish import publishing


def publish_model(model: keras.Model, path: Path) -> None:
    """Publish a Keras model whole; Keras's own save is not atomic.

    Raises:
        StorageError: as `publishing`.
    """
    with publishing(path) as temporary:
        model.save(temporary)


def load_model(path: Path) -> Any:
    """Load a Keras model file.

    Raises:
        ModelError: it is damaged.
    """
    try:
        return keras.models.load_model(path, compile=False)
    except Exception as error:
        raise ModelError(
            "The model file cannot be read.",
            where=path,
            got=str(error).splitlines()[0] if str(error) else type(error).__name__,
            fix="restore the file from a copy, or start again in a new run folder",
        ) from None
