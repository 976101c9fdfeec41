"""Endoscopy-like images of the eight Kvasir v2 classes, for tests and demonstrations.

These are cartoons, not medical images: nothing learnt or measured on them says anything about
patients, or about the real Kvasir set. They let the whole package be tried without a download, on
a problem about as hard as a small real one.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from uuid import NAMESPACE_OID, uuid5

import cv2
import numpy as np
import numpy.typing as npt

from kvasir_prune.data.endoscopy_scenes import SCENES, Field, Rng, Tissue, noise, plane, ramp
from kvasir_prune.data.kvasir_classes import KVASIR_CLASSES
from kvasir_prune.errors import DataError
from kvasir_prune.locking import locked
from kvasir_prune.progress import Progress
from kvasir_prune.publish import publish_text, publishing

__all__ = ["KVASIR_CLASSES", "render", "write_dataset"]

DATASET_FOLDER: Final = "kvasir-dataset-v2"
MARKER: Final = ".synthetic.json"
SMALLEST_SIDE_PX: Final = 16
_RENDERER_VERSION = 1
_JPEG_QUALITY = 92
_NOTICE = "Cartoons drawn by kvasir_prune, not medical images."


def render(class_name: str, rng: Rng, side_px: int) -> npt.NDArray[np.uint8]:
    """Draw one cartoon of a Kvasir class; it is not a medical image.

    Args:
        class_name: one of `KVASIR_CLASSES`.
        rng: all randomness; equal states give equal bits (one machine, one set of libraries).
        side_px: height and width, at least 16 pixels.

    Returns:
        (side, side, 3), RGB, 0 to 255, uint8, with black corners.

    Raises:
        DataError: unknown class, or a side below 16 pixels.
    """
    if class_name not in SCENES:
        raise DataError(
            "There is no such Kvasir class.",
            got=class_name,
            expected=", ".join(KVASIR_CLASSES),
        )
    _at_least("side_px", side_px, SMALLEST_SIDE_PX)
    return _photographed(rng, _lit(rng, SCENES[class_name](rng, side_px)))


def write_dataset(
    folder: Path, *, images_per_class: int, side_px: int, seed: int, progress: Progress
) -> Path:
    """Write a set of cartoons, not medical images, in the layout of Kvasir v2.

    The files are `folder/kvasir-dataset-v2/<class>/<uuid>.jpg`, beside them `.synthetic.json` with
    the parameters. The set is complete or absent: it is drawn in a hidden folder, then renamed. A
    complete set of the same parameters is left as it is. Each image depends on the seed, its
    class, its number and the side only.

    Args:
        folder: where the set shall stand; created if need be.
        images_per_class: at least 1; there are eight classes.
        side_px: height and width of each image, at least 16 pixels.
        seed: at least 0.
        progress: told of each image.

    Returns:
        `folder/kvasir-dataset-v2`.

    Raises:
        DataError: a parameter is out of range; or something else stands there: a set of other
            parameters, one with images missing, or a folder that this function did not write.
        OSError: the folder cannot be written.
    """
    _at_least("images_per_class", images_per_class, 1)
    _at_least("side_px", side_px, SMALLEST_SIDE_PX)
    _at_least("seed", seed, 0)
    parameters = {
        "renderer_version": _RENDERER_VERSION,
        "images_per_class": images_per_class,
        "side_px": side_px,
        "seed": seed,
    }
    target, staging = folder / DATASET_FOLDER, folder / f".{DATASET_FOLDER}.partial"
    if target.exists():
        # Before the lock, which a folder that can only be read does not give.
        _check_same(target, parameters)
        return target
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder / f".{DATASET_FOLDER}.lock"):
        if target.exists():
            _check_same(target, parameters)
            return target
        if staging.exists():
            shutil.rmtree(staging)
        _draw_all(staging, images_per_class, side_px, seed, progress)
        record = {"notice": _NOTICE, "parameters": parameters}
        publish_text(staging / MARKER, json.dumps(record, indent=2) + "\n")
        staging.rename(target)
    return target


def _at_least(name: str, value: int, least: int) -> None:
    if value < least:
        raise DataError(f"{name} is too small.", got=value, expected=f"at least {least}")


def _relative_path(class_name: str, number: int, seed: int) -> Path:
    name = uuid5(NAMESPACE_OID, f"{DATASET_FOLDER}/{seed}/{class_name}/{number}")
    return Path(class_name, f"{name}.jpg")


def _draw_all(
    root: Path, images_per_class: int, side_px: int, seed: int, progress: Progress
) -> None:
    total = images_per_class * len(KVASIR_CLASSES)
    with progress.task("Drawing synthetic endoscopy images", total) as task:
        for index, class_name in enumerate(KVASIR_CLASSES):
            (root / class_name).mkdir(parents=True)
            for number in range(images_per_class):
                rng = np.random.default_rng([seed, index, number])
                image = render(class_name, rng, side_px)
                _write_jpeg(root / _relative_path(class_name, number, seed), image)
                task.advance()


def _write_jpeg(path: Path, image: npt.NDArray[np.uint8]) -> None:
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    _, encoded = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    with publishing(path) as temporary:
        temporary.write_bytes(encoded.tobytes())


def _check_same(target: Path, parameters: Mapping[str, int]) -> None:
    remedy = "choose another folder, or move this one away"
    try:
        found = dict(json.loads((target / MARKER).read_text(encoding="utf-8"))["parameters"])
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise DataError(
            "The folder holds something else than a synthetic set.",
            where=target,
            expected=f"a readable {MARKER} in it",
            fix=remedy,
        ) from error
    names = [name for name in parameters if found.get(name) != parameters[name]]
    if names:
        raise DataError(
            f"The folder holds a synthetic set with other parameters: {', '.join(names)}.",
            where=target,
            got=", ".join(f"{name}={found.get(name)}" for name in names),
            expected=", ".join(f"{name}={parameters[name]}" for name in names),
            fix=remedy,
        )
    _check_complete(target, parameters["images_per_class"], parameters["seed"], remedy)


def _check_complete(target: Path, images_per_class: int, seed: int, remedy: str) -> None:
    paths = [_relative_path(c, n, seed) for c in KVASIR_CLASSES for n in range(images_per_class)]
    missing = [path for path in paths if not (target / path).is_file()]
    if missing:
        raise DataError(
            "Images were removed from the synthetic set.",
            where=target,
            got=f"{len(missing)} of {len(paths)} missing, first {missing[0].as_posix()}",
            fix=remedy,
        )


def _lit(rng: Rng, tissue: Tissue) -> Field:
    """Light the tissue by a lamp beside the camera; return (side, side, 3), 1 is white."""
    side_px = len(tissue.height)
    x, y = plane(side_px)
    lamp_x, lamp_y, lamp_z = rng.uniform(-0.5, 0.5), rng.uniform(-0.5, 0.5), 1.6
    to_x, to_y = lamp_x - x, lamp_y - y
    distance = np.sqrt(to_x**2 + to_y**2 + lamp_z**2)
    slope_y, slope_x = np.gradient(tissue.height, 2 / side_px)
    facing = (lamp_z - slope_x * to_x - slope_y * to_y) / distance
    facing = facing / np.sqrt(slope_x**2 + slope_y**2 + 1)
    fall_off = (lamp_z / distance) ** 2 / (1 + tissue.depth) ** 2
    # Wet tissue mirrors the lamp where it is turned half-way to it, give or take its ripples.
    miss_x = slope_x + 0.55 * to_x + 0.16 * noise(rng, side_px, 12)
    miss_y = slope_y + 0.55 * to_y + 0.16 * noise(rng, side_px, 12)
    wet = rng.uniform(0.3, 1) * ramp(noise(rng, side_px, 5), -0.2, 1)
    glint = wet * (1 - ramp(miss_x**2 + miss_y**2, 0.002, 0.02))
    light = (tissue.albedo * np.maximum(facing, 0.05) + glint) * fall_off
    return np.ascontiguousarray(light.transpose(1, 2, 0), dtype=np.float32)


def _photographed(rng: Rng, light: Field) -> npt.NDArray[np.uint8]:
    """Expose, blur, add sensor noise and frame the picture; return it as uint8."""
    side_px = len(light)
    balance = 1 + 0.04 * rng.standard_normal(3, dtype=np.float32)
    exposed = light * (balance * rng.uniform(0.95, 1.35))
    blurred = cv2.GaussianBlur(exposed, (0, 0), side_px * rng.uniform(0.002, 0.009))
    frame, grain = _frame(rng, side_px), rng.uniform(0.004, 0.02)
    noisy = blurred + grain * rng.standard_normal(light.shape, dtype=np.float32)
    return np.asarray(np.clip(noisy * frame[..., None], 0, 1) * 255 + 0.5).astype(np.uint8)


def _frame(rng: Rng, side_px: int) -> Field:
    """Return the field of view (side, side), 1 inside: a circle or an octagon."""
    x, y = plane(side_px)
    circle = np.hypot(x, y) - rng.uniform(0.95, 1.12)
    sides = np.maximum(abs(x), abs(y)) - 0.97
    corners = (abs(x) + abs(y) - rng.uniform(1.3, 1.55)) / math.sqrt(2)
    beyond = circle if rng.uniform() < 0.5 else np.maximum(sides, corners)
    return 1 - ramp(beyond, -1.5 / side_px, 1.5 / side_px)
