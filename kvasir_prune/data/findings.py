"""What the checks of the images found: the content of `data_check.json`."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import BaseModel, ConfigDict

Severity = Literal["minor", "major"]
Outcome = Literal["passed", "warning", "failed", "not assessed"]


class BlankRegion(BaseModel):
    """A region that is black in some classes more often than in others.

    Attributes:
        left: edge of the rectangle around it, from the left of the image, 0 to 1; `right` likewise.
        top: its upper edge, from the top of the image, 0 to 1; `bottom` likewise.
        fills: share of the rectangle that is of the region, 0 to 1.
        share: class -> share of its images in which a place of the region is black, on average.
    """

    model_config = ConfigDict(frozen=True)

    left: float
    top: float
    right: float
    bottom: float
    fills: float
    share: dict[str, float]

    @property
    def area(self) -> float:
        """Of the region, as a share of the image."""
        return self.fills * (self.right - self.left) * (self.bottom - self.top)

    @property
    def rectangle(self) -> list[float]:
        """The rectangle as `data.blank` takes it, rounded outwards to hundredths."""
        near, far = (self.left, self.top), (self.right, self.bottom)
        return [
            *(math.floor(round(edge * 100, 6)) / 100 for edge in near),
            *(math.ceil(round(edge * 100, 6)) / 100 for edge in far),
        ]

    @property
    def place(self) -> str:
        """Where it lies, in words: lower left; "edge" if it goes all the way round."""
        if self.right - self.left > 0.9 and self.bottom - self.top > 0.9:
            return "edge"
        middle = ((self.left + self.right) / 2, (self.top + self.bottom) / 2)
        across, down = (
            words[int(place > 1 / 3) + int(place > 2 / 3)]
            for words, place in zip(
                (("left", "middle", "right"), ("upper", "middle", "lower")), middle, strict=True
            )
        )
        return f"{down} {across}" if down != across else "centre"


class RegionTells(BaseModel):
    """How well a part of the edge alone tells the class: balanced accuracies, 0 to 1.

    Attributes:
        accuracy: of a classifier that sees nothing else; `low` is the lower end of its interval.
        reference: of one that sees the inside (for the border) or the centre (for a corner).
        excess_low: lower end of the interval of `accuracy` - `reference`.
    """

    model_config = ConfigDict(frozen=True)

    accuracy: float
    low: float
    reference: float
    excess_low: float


class SizeTells(BaseModel):
    """How well the size of an image in pixels tells one class from the rest.

    Attributes:
        label: the class that it tells best.
        accuracy: balanced accuracy, 0 to 1, of a classifier that knows nothing but the size.
        low: the lower end of its interval.
    """

    model_config = ConfigDict(frozen=True)

    label: str
    accuracy: float
    low: float


class Finding(BaseModel):
    """One check: `severity` is what a failure would mean for the comparison."""

    model_config = ConfigDict(frozen=True)

    code: str
    title: str
    severity: Severity
    outcome: Outcome
    sentence: str


PAIRS_KEPT = 10_000
"""Near-duplicates across splits that are named, at most; the finding counts all."""
PAIRS_PICTURED = 12
"""Those of them that a report shows side by side, at most."""


class LeakedPair(BaseModel):
    """Two near-duplicates in different splits, by their paths; a test image comes first."""

    model_config = ConfigDict(frozen=True)

    path: str
    split: str
    label: str
    other_path: str
    other_split: str
    other_label: str
    correlation: float


class DataCheck(BaseModel):
    """The content of `data_check.json`.

    Attributes:
        findings: in the order in which they are told.
        look_alikes: sets of test images that are near-duplicates of each other, by their paths;
            together they say no more than one of them.
        leaked_pairs: near-duplicates across splits, at most `PAIRS_KEPT`; those of test images
            first, then the most alike.
        predictability: region -> how well it alone tells the class; None if not assessed.
        blank_regions: the largest first.
    """

    model_config = ConfigDict(frozen=True)

    findings: list[Finding]
    look_alikes: list[list[str]]
    leaked_pairs: list[LeakedPair]
    predictability: dict[str, RegionTells] | None
    blank_regions: list[BlankRegion]
