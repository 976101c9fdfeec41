"""The pictures of the images whose answer changed, ready to be set into the page."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass

from kvasir_prune.report import notation
from kvasir_prune.report.judgement import FLIPS_SHOWN, what_happened
from kvasir_prune.report.schema import Record


@dataclass(frozen=True)
class Picture:
    """One image of the gallery: a `data:` address of it and the words around it."""

    address: str
    alt: str
    what: str
    label: str
    before: str
    after: str


def gallery(record: Record, pictures: Mapping[str, bytes]) -> list[Picture]:
    """Return the flips of which there is a picture, the most harmful first.

    Args:
        record: the whole of `report.json`.
        pictures: JPEG files by the paths of their images.
    """
    assessment = record.results.assessment
    flips = [] if assessment is None else assessment.flips[:FLIPS_SHOWN]
    return [
        Picture(
            address="data:image/jpeg;base64," + base64.b64encode(pictures[flip.path]).decode(),
            alt=f"Test image {notation.printable(flip.path)}",
            what=what_happened(flip),
            label=notation.printable(flip.label),
            before=_answer(flip.before, flip.confidence_before),
            after=_answer(flip.after, flip.confidence_after),
        )
        for flip in flips
        if flip.path in pictures
    ]


def _answer(named: str, confidence: float) -> str:
    return f"{notation.printable(named)} {notation.percent(confidence, 0)}%"
