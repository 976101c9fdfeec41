"""Small pictures of single images, kept beside the logits so that a report needs no originals.

Layout of `thumbnails.h5`: /names, a JSON list of the images' paths; /{place in the list}, the bytes
of a JPEG file as uint8. Attribute `origin` as in `evaluation.h5`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from kvasir_prune.ledger.hdf5_file import publishing_hdf5, reading_hdf5

SCHEMA_VERSION = 1
SIDE_PX = 128
"""Longer side; smaller images are enlarged to it without smoothing."""

_QUALITY = 82


def encode(image: NDArray[np.uint8]) -> bytes:
    """Return an image, (height, width, 1 or 3) uint8 RGB, as a small JPEG file."""
    height, width = image.shape[:2]
    scale = SIDE_PX / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(
        image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST
    )
    colours = small if small.ndim == 2 else cv2.cvtColor(small, cv2.COLOR_RGB2BGR)
    return bytes(cv2.imencode(".jpg", colours, (cv2.IMWRITE_JPEG_QUALITY, _QUALITY))[1])


def write(path: Path, pictures: Mapping[str, bytes], origin: Mapping[str, str]) -> None:
    """Publish the pictures, by the paths of their images; `origin` says of which run."""
    with publishing_hdf5(path, SCHEMA_VERSION) as file:
        file.attrs["origin"] = json.dumps(origin)
        file.create_dataset("names", data=json.dumps(list(pictures)))
        for number, content in enumerate(pictures.values()):
            file.create_dataset(str(number), data=np.frombuffer(content, np.uint8))


def read(path: Path) -> tuple[dict[str, bytes], dict[str, str]]:
    """Read the pictures, by the paths of their images, and the origin.

    Raises:
        LedgerError: the file is damaged.
    """
    with reading_hdf5(path, SCHEMA_VERSION) as file:
        names = json.loads(file["names"][()])
        pictures = {name: file[str(number)][()].tobytes() for number, name in enumerate(names)}
        return pictures, json.loads(file.attrs["origin"])
