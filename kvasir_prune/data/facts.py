"""What the report says about the images: where they come from and what was done to them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from pydantic import BaseModel, ConfigDict

from kvasir_prune.data.blanking import Rectangle
from kvasir_prune.data.cache import ImageCache
from kvasir_prune.data.split import Item
from kvasir_prune.types import SPLITS


class DataFacts(BaseModel):
    """The content of `data.json`.

    Attributes:
        source: value of `data.source`.
        images: how many are used.
        image_side_px: height and width after resizing.
        groups: number of groups, None where no groups were asked for.
        conversions: what was converted -> number of images.
        skipped: files left out because they could not be decoded, with the reason.
        split_deviation_percent: class -> achieved minus wished share of train, validation and
            test, in percentage points; 0 for splits that the set itself brings.
        blanked: rectangles that were made black, as `data.blank` has them.
    """

    model_config = ConfigDict(frozen=True)

    source: str
    images: int
    image_side_px: list[int]
    groups: int | None
    conversions: dict[str, int]
    skipped: list[str]
    split_deviation_percent: dict[str, list[float]]
    blanked: list[list[float]] = []


def facts_of(
    source: str,
    cache: ImageCache,
    items: Sequence[Item],
    deviations: Mapping[str, Mapping[str, float]],
    blank: Sequence[Rectangle],
) -> DataFacts:
    """Collect the facts about prepared images.

    Args:
        source: value of `data.source`.
        cache: the decoded images.
        items: those that are used.
        deviations: class -> split -> achieved minus wished share.
        blank: rectangles that were made black.
    """
    groups = {item.group for item in items if item.group is not None}
    conversions = Counter(name for line in cache.table for name in line.conversions)
    return DataFacts(
        source=source,
        images=len(items),
        image_side_px=[int(side) for side in cache.images.shape[1:3]],
        groups=len(groups) or None,
        conversions=dict(sorted(conversions.items())),
        skipped=[f"{line.record.path}: {line.fault}" for line in cache.table if line.fault],
        split_deviation_percent={
            label: [by_split.get(name, 0.0) * 100 for name in SPLITS]
            for label, by_split in deviations.items()
        },
        blanked=[list(rectangle) for rectangle in blank],
    )


def deviation_lines(facts: DataFacts) -> str:
    """Say how far each class is from the wished shares, for the terminal."""
    if not any(any(shares) for shares in facts.split_deviation_percent.values()):
        return "Split: every class has exactly the wished shares"
    lines = ["Split, deviation from the wished shares in percentage points:"]
    for label, shares in facts.split_deviation_percent.items():
        parts = ", ".join(f"{name} {d:+.2f}" for name, d in zip(SPLITS, shares, strict=True))
        lines.append(f"  {label}: {parts}")
    return "\n".join(lines)
