"""What the eight Kvasir v2 classes look like, as cartoons made of tissue.

These are cartoons, not medical images: they borrow colours and shapes from endoscopy so that a
classifier has something to learn. They say nothing about patients, and no result on them is a
clinical one.

A scene is a `Tissue`: the colour, relief and distance of each pixel. Classes that the real set
(Pogorelov et al. 2017, doi:10.1145/3083187.3083212) makes hard to tell apart share one function
and differ in a severity from 0 to 1, whose distributions overlap: a few images are ambiguous by
nature. Lengths are in half-sides: the image spans -1 to 1. All arrays are float32.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from types import MappingProxyType
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Rng: TypeAlias = np.random.Generator
Field: TypeAlias = npt.NDArray[np.float32]
Colour: TypeAlias = tuple[float, float, float]

COLON: Colour = (0.86, 0.52, 0.44)
STOMACH: Colour = (0.88, 0.57, 0.40)
SQUAMOUS: Colour = (0.90, 0.65, 0.57)
SALMON: Colour = (0.82, 0.42, 0.33)
INFLAMED: Colour = (0.76, 0.29, 0.25)
EROSION: Colour = (0.71, 0.20, 0.17)
BLOOD: Colour = (0.50, 0.06, 0.06)
EXUDATE: Colour = (0.93, 0.86, 0.68)
WOUND: Colour = (0.88, 0.78, 0.70)
DYE: Colour = (0.16, 0.42, 0.60)
PALE: Colour = (0.95, 0.71, 0.60)


@dataclass(frozen=True)
class Tissue:
    """What the camera looks at.

    Attributes:
        albedo: (3, side, side), red, green and blue reflectance, 0 to about 1.
        height: (side, side), relief towards the camera, half-sides.
        depth: (side, side), 0 at the focal plane and growing beyond; far tissue is dark.
    """

    albedo: Field
    height: Field
    depth: Field


@lru_cache(maxsize=8)
def plane(side_px: int) -> tuple[Field, Field]:
    """Return x and y of each pixel, (side, side), -1 to 1, y downwards; read-only."""
    axis = np.asarray((np.arange(side_px) + 0.5) * (2 / side_px) - 1, np.float32)
    x, y = np.meshgrid(axis, axis)
    x.flags.writeable = y.flags.writeable = False
    return x, y


@lru_cache(maxsize=128)
def _weights(side_px: int, cells: int) -> Field:
    pixels = (np.arange(side_px) + 0.5) * (cells / side_px) + 1.5
    weights = np.exp(-(((pixels[:, None] - np.arange(cells + 4)) / 0.85) ** 2))
    weights /= np.linalg.norm(weights, axis=1, keepdims=True)
    return np.asarray(weights, np.float32)


def noise(rng: Rng, side_px: int, cells: int) -> Field:
    """Return smooth Gaussian noise (side, side), mean 0, deviation 1, `cells` bumps a side.

    What is drawn from `rng` does not depend on the side: one seed is one scene at every side.
    """
    knots = rng.standard_normal((cells + 4, cells + 4), dtype=np.float32)
    weights = _weights(side_px, cells)
    return np.asarray(weights @ knots @ weights.T, np.float32)


def ramp(values: npt.NDArray[np.floating], start: float, end: float) -> Field:
    """Return a smooth step over `values`: 0 up to `start`, 1 from `end` on."""
    t = np.clip((values - start) * (1 / (end - start)), 0, 1)
    return np.asarray(t * t * (3 - 2 * t), np.float32)


def ridge(values: Field, at: float, width: float) -> Field:
    """Return a Gaussian bump over `values`: 1 at `at`, 1/e at `width` from it."""
    return np.asarray(np.exp(-(((values - at) * (1 / width)) ** 2)), np.float32)


def _painted(tissue: Tissue, colour: Colour, cover: Field) -> Tissue:
    paint = np.array(colour, np.float32)[:, None, None]
    return replace(tissue, albedo=tissue.albedo + (paint - tissue.albedo) * cover)


def _polar(rng: Rng, side_px: int, wander: float, ragged: float) -> tuple[Field, Field]:
    """Return distance to and angle around a centre up to `wander` off the middle.

    The circles of equal distance are squeezed to ellipses and bent by noise of strength `ragged`.
    """
    x, y = plane(side_px)
    off, bearing = wander * math.sqrt(rng.uniform()), rng.uniform(0, math.tau)
    dx, dy = x - off * math.cos(bearing), y - off * math.sin(bearing)
    stretch, turn = rng.uniform(1, 1.35), rng.uniform(0, math.pi)
    along = dx * math.cos(turn) + dy * math.sin(turn)
    across = (dy * math.cos(turn) - dx * math.sin(turn)) * stretch
    radius = np.hypot(along, across) * (1 + ragged * noise(rng, side_px, 4))
    return np.maximum(radius, 0), np.arctan2(dy, dx)


def _spokes(rng: Rng, side_px: int, angle: Field, few: int, many: int) -> Field:
    """Return a wavering star of `few` to `many` arms around a centre, -1 to 1."""
    arms, turn = int(rng.integers(few, many + 1)), rng.uniform(0, math.tau)
    return np.asarray(np.cos(angle * arms + turn + noise(rng, side_px, 3)), np.float32)


def _mucosa(rng: Rng, side_px: int, colour: Colour, vessels: float) -> Tissue:
    """Return wet, gently uneven tissue with patches and, at strength `vessels`, a vessel net."""
    tint = np.array(colour, np.float32) + 0.03 * rng.standard_normal(3, dtype=np.float32)
    tissue = Tissue(
        albedo=np.broadcast_to(tint[:, None, None], (3, side_px, side_px)),
        height=0.06 * noise(rng, side_px, 2) + 0.010 * noise(rng, side_px, 8),
        depth=np.zeros((side_px, side_px), np.float32),
    )
    tissue = _painted(tissue, PALE, 0.25 * ramp(noise(rng, side_px, 4), 0, 2))
    tissue = _painted(tissue, INFLAMED, 0.25 * ramp(noise(rng, side_px, 6), 0, 2.5))
    # The zero lines of smooth noise are thin, curved and unbroken: a cheap vessel net.
    trunks = ridge(noise(rng, side_px, 4) + 0.2 * noise(rng, side_px, 9), 0, 0.06)
    twigs = 0.7 * ridge(noise(rng, side_px, 8) + 0.2 * noise(rng, side_px, 16), 0, 0.08)
    shown = ramp(noise(rng, side_px, 3), -0.3, 0.8) * vessels
    return _painted(tissue, BLOOD, 0.7 * np.maximum(trunks, twigs) * shown)


def _folds(rng: Rng, tissue: Tissue, radius: Field, angle: Field, rings: int) -> Tissue:
    """Raise `rings` crescents around a lumen, wider with distance as perspective makes them."""
    height, depth = tissue.height, tissue.depth
    # Three bands of muscle make the lumen of the colon a rounded triangle.
    triangular = radius * (1 + 0.1 * np.cos(angle * 3 + rng.uniform(0, math.tau)))
    innermost, spacing = rng.uniform(0.22, 0.34), rng.uniform(1.45, 1.8)
    for ring in range(rings):
        at = innermost * spacing**ring
        beyond = (triangular - at) * (1 / (0.45 * at))
        crest = np.exp(-np.where(beyond < 0, 6 * beyond**2, beyond**2))
        present = ramp(np.cos(angle + rng.uniform(0, math.tau)), -0.4, 0.9)
        behind = ramp(-beyond, 0.1, 0.5) * (1 - ramp(-beyond, 0.5, 2.2))
        height = height + 0.30 * at * crest * present
        depth = depth + 0.35 * behind * present
    return replace(tissue, height=height, depth=depth)


def _opening(tissue: Tissue, radius: Field, size: float, dark: float, blur: float) -> Tissue:
    """Sink a round hole of radius `size`, `dark` deep, its rim `blur` of the radius wide."""
    hole = 1 - ramp(radius, size * (1 - blur), size * (1 + blur))
    funnel = 0.35 * math.sqrt(dark) * ridge(radius, 0, 2.2 * size)
    height = tissue.height - 0.25 * size * hole
    return replace(tissue, height=height, depth=tissue.depth + dark * hole + funnel)


def _mound(tissue: Tissue, radius: Field, size: float, steep: float) -> Tissue:
    """Raise a dome of radius `size` with a shaded foot; `steep` is its height over its radius."""
    dome = np.sqrt(np.maximum(1 - (radius * (1 / size)) ** 2, 0))
    foot = 0.25 * steep * ridge(radius, 1.08 * size, 0.2 * size)
    height = tissue.height * (1 - 0.7 * dome) + steep * size * dome**1.7
    return replace(tissue, height=height, depth=tissue.depth * (1 - dome) + foot)


def _inflamed(rng: Rng, tissue: Tissue, colitis: float) -> Tissue:
    """Redden and roughen; add ulcers under white-yellow exudate, and bleeding points."""
    side_px = len(tissue.height)
    spread = colitis * ramp(noise(rng, side_px, 3), -2.2 * colitis, 2.5 - 2.2 * colitis)
    grain = 0.025 * spread * noise(rng, side_px, 32)
    tissue = replace(_painted(tissue, INFLAMED, 0.85 * spread), height=tissue.height + grain)
    lesions = noise(rng, side_px, 9) + 0.6 * noise(rng, side_px, 20)
    ulcers = ramp(lesions, 2.8 - 1.5 * colitis, 3.2 - 1.5 * colitis) * ramp(spread, 0.05, 0.3)
    tissue = _painted(tissue, EXUDATE, 0.85 * ulcers)
    points = ramp(noise(rng, side_px, 18), 2.3 - 0.5 * colitis, 2.8 - 0.5 * colitis)
    return _painted(tissue, BLOOD, 0.8 * points * ramp(spread, 0.1, 0.4))


def _colon(rng: Rng, side_px: int, polyp: float, colitis: float) -> Tissue:
    """Return large bowel with a mound of prominence `polyp` and inflammation `colitis`."""
    tissue = _mucosa(rng, side_px, COLON, rng.uniform(0.3, 1) * (1 - colitis))
    radius, angle = _polar(rng, side_px, 0.9, 0.08)
    tissue = _folds(rng, tissue, radius, angle, int(rng.integers(0, 4)))
    tissue = _opening(tissue, radius, rng.uniform(0.12, 0.3), rng.uniform(0, 2.5), 0.7)
    tissue = _inflamed(rng, tissue, colitis)
    radius, _ = _polar(rng, side_px, 0.45, 0.05)
    size = rng.uniform(0.22, 0.5)
    head = polyp * (1 - ramp(radius, 0.8 * size, 1.05 * size))
    pits = 0.25 + 0.3 * ramp(noise(rng, side_px, 22), -0.5, 1.5)
    colour = (SALMON, PALE, INFLAMED)[int(rng.integers(3))]
    return _painted(_mound(tissue, radius, size, 0.9 * polyp), colour, head * pits)


def _cecum(rng: Rng, side_px: int) -> Tissue:
    """Return a pouch: broad folds that meet near a small hole, the appendiceal orifice."""
    tissue = _mucosa(rng, side_px, COLON, rng.uniform(0.4, 1))
    radius, angle = _polar(rng, side_px, 0.4, 0.08)
    tissue = _folds(rng, tissue, radius, angle, int(rng.integers(1, 4)))
    tissue = _opening(tissue, radius, rng.uniform(0.05, 0.17), rng.uniform(0.3, 2.5), 0.6)
    residue = 0.5 * ramp(noise(rng, side_px, 7), 2.1, 2.6)
    return _painted(_inflamed(rng, tissue, rng.beta(1.2, 14)), EXUDATE, residue)


def _pylorus(rng: Rng, side_px: int) -> Tissue:
    """Return the antrum: a round opening in a muscular ring, folds running towards it."""
    tissue = _mucosa(rng, side_px, STOMACH, rng.uniform(0, 0.3))
    radius, angle = _polar(rng, side_px, 0.35, 0.04)
    size = rng.uniform(0.11, 0.26)
    lip = 0.7 * size * ridge(radius, 1.7 * size, 0.6 * size)
    star = _spokes(rng, side_px, angle, 4, 7) * ramp(radius, 1.5 * size, 3 * size) * np.exp(-radius)
    waves = np.cos(radius * rng.uniform(9, 13) + rng.uniform(0, math.tau)) * ramp(radius, 0.3, 0.6)
    folds = rng.uniform(0, 0.1) * star + rng.uniform(0, 0.035) * waves
    tissue = replace(tissue, height=tissue.height + lip + folds)
    return _opening(tissue, radius, size, rng.uniform(1.2, 4), 0.35)


def _oesophagus(rng: Rng, side_px: int, erosion: float) -> Tissue:
    """Return the Z-line around the lumen, with red streaks of strength `erosion` up from it."""
    tissue = _mucosa(rng, side_px, SQUAMOUS, rng.uniform(0.1, 0.6))
    radius, angle = _polar(rng, side_px, 0.6, 0.08)
    tongues = rng.uniform(0, 0.2) * np.maximum(_spokes(rng, side_px, angle, 2, 4), 0)
    teeth = 0.06 * noise(rng, side_px, 6) + 0.03 * noise(rng, side_px, 14)
    above = radius - rng.uniform(0.3, 0.75) - tongues - teeth
    tissue = _painted(tissue, SALMON, rng.uniform(0.7, 0.95) * (1 - ramp(above, -0.03, 0.03)))
    flush = ramp(above, -0.1, 0.1) * (1 - ramp(above, 0.1, 0.7))
    tissue = _painted(tissue, INFLAMED, 0.45 * erosion * flush)
    rays = _spokes(rng, side_px, angle, 3, 7)
    reach = (0.2 + 0.5 * erosion) * (1 + 0.5 * noise(rng, side_px, 3))
    streaks = ramp(rays, 0.75 - 0.35 * erosion, 1) * (1 - ramp(above - reach, -0.15, 0.1))
    streaks = streaks * ramp(above, -0.15, 0)
    tissue = _painted(tissue, EROSION, min(1, 1.5 * erosion) * streaks)
    slough = ramp(rays, 0.9, 1) * streaks * ramp(noise(rng, side_px, 8), 0, 0.8)
    tissue = _painted(tissue, EXUDATE, 0.9 * erosion * slough)
    pleats = rng.uniform(0.01, 0.06) * _spokes(rng, side_px, angle, 4, 7) * radius
    tissue = replace(tissue, height=tissue.height + pleats)
    return _opening(tissue, radius, rng.uniform(0.08, 0.22), rng.uniform(0.5, 3), 0.6)


def _dyed(rng: Rng, side_px: int, resected: float) -> Tissue:
    """Return a lesion on a cushion of blue dye, from still there (`resected` 0) to cut out (1)."""
    tissue = _mucosa(rng, side_px, COLON, rng.uniform(0.2, 0.8))
    radius, angle = _polar(rng, side_px, 0.9, 0.08)
    tissue = _folds(rng, tissue, radius, angle, int(rng.integers(0, 3)))
    radius, _ = _polar(rng, side_px, 0.35, 0.09)
    size = rng.uniform(0.28, 0.5)
    fades = radius + 0.12 * noise(rng, side_px, 4)
    stain = (1 - ramp(fades, size, rng.uniform(1.6, 2.6) * size)) * rng.uniform(0.6, 1)
    stain = np.clip(stain * (0.8 + 0.25 * noise(rng, side_px, 5)), 0, 0.95)
    tissue = _mound(_painted(tissue, DYE, stain), radius, 1.5 * size, 0.2)
    tissue = _mound(tissue, radius, size, 0.8 * (1 - resected))
    head = (1 - ramp(radius, 0.7 * size, 1.05 * size)) * (0.7 + 0.2 * noise(rng, side_px, 12))
    tissue = _painted(tissue, SALMON, np.clip(head * (0.9 - resected), 0, 0.9))
    ragged = radius + 0.04 * noise(rng, side_px, 8)
    wound = resected * (1 - ramp(ragged, 0.75 * size, 0.9 * size))
    tissue = _painted(tissue, WOUND, 0.9 * wound)
    strands = ramp(noise(rng, side_px, 11), 0.4, 1.5)
    tissue = _painted(tissue, (DYE, BLOOD)[int(rng.integers(2))], 0.55 * wound * strands)
    scorched = 0.5 * resected * ridge(ragged, 0.85 * size, 0.1 * size) * ramp(strands, 0, 0.4)
    tissue = _painted(tissue, BLOOD, scorched)
    return replace(tissue, height=tissue.height - 0.25 * size * wound)


Scene: TypeAlias = Callable[[Rng, int], Tissue]

SCENES: Mapping[str, Scene] = MappingProxyType(
    {
        "dyed-lifted-polyps": lambda rng, side: _dyed(rng, side, rng.beta(1.2, 7)),
        "dyed-resection-margins": lambda rng, side: _dyed(rng, side, rng.beta(7, 1.5)),
        "esophagitis": lambda rng, side: _oesophagus(rng, side, rng.beta(4, 1.8)),
        "normal-cecum": _cecum,
        "normal-pylorus": _pylorus,
        "normal-z-line": lambda rng, side: _oesophagus(rng, side, rng.beta(1, 12)),
        "polyps": lambda rng, side: _colon(rng, side, rng.beta(5, 1.5), rng.beta(1.2, 14)),
        "ulcerative-colitis": lambda rng, side: _colon(
            rng, side, rng.beta(1.1, 10), rng.beta(6, 1.6)
        ),
    }
)
