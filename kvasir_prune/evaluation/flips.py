"""The images that the network calls something else after pruning."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from kvasir_prune.evaluation.answers import Answers
from kvasir_prune.evaluation.class_groups import ClassGroups

Kind = Literal["lost", "changed", "gained"]
_ORDER: tuple[Kind, ...] = ("lost", "changed", "gained")
PICTURED = 1000
"""Flips of which a picture is kept and shown, at most; the most harmful come first."""


@dataclass(frozen=True)
class Flip:
    """One image whose predicted class changed.

    Attributes:
        image: its place among the images of its split, from 0.
        path: as in `split.csv`.
        label: the true class.
        before: the class named before pruning.
        after: the class named after.
        confidence_before: the probability given to `before`, before pruning.
        confidence_after: the probability given to `after`, after pruning.
        kind: `lost` was right, `gained` is right now, `changed` is wrong both times.
        missed_disease: the image shows disease, was called disease and no longer is.
    """

    image: int
    path: str
    label: str
    before: str
    after: str
    confidence_before: float
    confidence_after: float
    kind: Kind
    missed_disease: bool


def flips(
    before: Answers,
    after: Answers,
    paths: Sequence[str],
    names: Sequence[str],
    groups: ClassGroups | None = None,
) -> list[Flip]:
    """Return the flips, the most harmful first.

    Args:
        before: answers of the one network.
        after: answers of the other network to the same images.
        paths: of the images.
        names: of the classes.
        groups: says which classes are disease; None if none is.

    Returns:
        Missed diseases first, then by `kind` (lost, changed, gained), then by the confidence in
        the new answer, the surest first.
    """
    sure_before, sure_after = before.confidences, after.confidences

    def flip(image: int) -> Flip:
        label, was, now = (
            int(a[image]) for a in (before.labels, before.predicted, after.predicted)
        )
        missed = groups is not None and (
            groups.is_abnormal(label) and groups.is_abnormal(was) and not groups.is_abnormal(now)
        )
        return Flip(
            image=image,
            path=paths[image],
            label=names[label],
            before=names[was],
            after=names[now],
            confidence_before=float(sure_before[image]),
            confidence_after=float(sure_after[image]),
            kind="lost" if was == label else "gained" if now == label else "changed",
            missed_disease=missed,
        )

    found = [flip(int(image)) for image in np.flatnonzero(before.predicted != after.predicted)]
    return sorted(
        found, key=lambda f: (not f.missed_disease, _ORDER.index(f.kind), -f.confidence_after)
    )
