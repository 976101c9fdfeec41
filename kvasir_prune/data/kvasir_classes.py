"""The names of the eight Kvasir v2 classes, defined once for the real and the synthetic images."""

from __future__ import annotations

from typing import Final

KVASIR_CLASSES: Final = (
    "dyed-lifted-polyps",
    "dyed-resection-margins",
    "esophagitis",
    "normal-cecum",
    "normal-pylorus",
    "normal-z-line",
    "polyps",
    "ulcerative-colitis",
)
