"""The pictures of the images whose answer changed, ready to be set into the page."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass

from kvasir_prune.data.findings import PAIRS_PICTURED
from kvasir_prune.evaluation.flips import PICTURED
from kvasir_prune.report import captions, notation
from kvasir_prune.report.judgement import what_happened
from kvasir_prune.report.schema import Record
from kvasir_prune.types import TEST


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
    flips = [] if assessment is None else assessment.flips[:PICTURED]
    return [
        Picture(
            address=_address(pictures[flip.path]),
            alt=_alt(TEST, flip.path),
            what=what_happened(flip),
            label=notation.printable(flip.label),
            before=_answer(flip.before, flip.confidence_before),
            after=_answer(flip.after, flip.confidence_after),
        )
        for flip in flips
        if flip.path in pictures
    ]


def not_pictured(record: Record, shown: int) -> str:
    """Say how many flips the gallery leaves to `flips.csv`; empty if none."""
    assessment = record.results.assessment
    more = 0 if assessment is None else len(assessment.flips) - shown
    if more <= 0:
        return ""
    return captions.note("more_pictures", shown=notation.count(shown), more=notation.count(more))


@dataclass(frozen=True)
class PicturePair:
    """Two near-duplicates: addresses, and where each stands."""

    addresses: tuple[str, str]
    alts: tuple[str, str]
    said: tuple[str, str]


def leaked_pairs(record: Record, pictures: Mapping[str, bytes]) -> list[PicturePair]:
    """Return the near-duplicates across splits of which there are pictures."""
    return [
        PicturePair(
            addresses=(_address(pictures[pair.path]), _address(pictures[pair.other_path])),
            alts=(_alt(pair.split, pair.path), _alt(pair.other_split, pair.other_path)),
            said=(
                _stands(pair.split, pair.label, pair.path),
                _stands(pair.other_split, pair.other_label, pair.other_path),
            ),
        )
        for pair in record.results.data_check.leaked_pairs[:PAIRS_PICTURED]
        if pair.path in pictures and pair.other_path in pictures
    ]


def _address(jpeg: bytes) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode()


def _stands(split: str, label: str, path: str) -> str:
    return f"{notation.split_name(split)}: {notation.printable(label)} {notation.printable(path)}"


def _alt(split: str, path: str) -> str:
    return f"{notation.split_name(split).capitalize()} image {notation.printable(path)}"


def _answer(named: str, confidence: float) -> str:
    sure = f"{notation.percent(confidence, 0)}%"
    return f"{notation.printable(named)}{notation.NO_BREAK}{sure}"
