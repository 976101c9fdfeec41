"""From what the images look like, apart from what they show, to findings: edges, regions, sizes.

Thresholds are conventions and stand in the sentence that rests on them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kvasir_prune.data.findings import BlankRegion, Finding, RegionTells, SizeTells

ABOVE_CHANCE = 0.2
BLANK_DIFFERENCE = 0.25
COMPACT = 0.8
"""A region that fills less of the rectangle around it cannot be made black by one."""
_REGIONS_TOLD = 3


def border(tells: Mapping[str, RegionTells], classes: int) -> Finding:
    """Judge how well the edge of the image alone tells the class; see `predictability`."""
    least = 1 / classes + ABOVE_CHANCE
    suspicious = [one for one in tells.values() if one.low > least]
    corner = max(
        (name for name in tells if name != "border"), key=lambda name: tells[name].accuracy
    )
    edge, best = tells["border"], tells[corner]
    return Finding(
        code="BORDER_TELLS_CLASS",
        title="Borders and corners that predict the class",
        severity="major",
        outcome="failed"
        if any(one.excess_low > 0 for one in suspicious)
        else "warning"
        if suspicious
        else "passed",
        sentence=f"A simple classifier that sees nothing but the outermost twelfth on each side of "
        f"the image names {edge.accuracy:.0%} of the classes right (balanced; chance "
        f"{1 / classes:.0%}), one that sees the rest {edge.reference:.0%}; of the corners the "
        f"{corner.removesuffix(' corner')} one tells most, {best.accuracy:.0%}, an area of that "
        f"size in the centre {best.reference:.0%}. Surely more than {ABOVE_CHANCE * 100:.0f} "
        "points above chance is a warning; the check fails if such a part surely tells more than "
        "what it is compared with: a network can learn it instead of the tissue.",
    )


def sizes(counted: Mapping[tuple[int, int], int], side_px: int, tells: SizeTells | None) -> Finding:
    """Judge the sizes of the images before they were resized.

    Args:
        counted: (height, width) in pixels -> images.
        side_px: shorter side of what the network sees.
        tells: the class that they tell best; None where all have one size.
    """
    enlarged = sum(count for size, count in counted.items() if min(size) < side_px)
    small = f" {enlarged:,} are smaller than what the network sees, and enlarged." * (enlarged > 0)
    smallest, largest = (
        " x ".join(map(str, reversed(choose(counted, key=lambda size: size[0] * size[1]))))
        for choose in (min, max)
    )
    if tells is None:
        sentence = f"All {sum(counted.values()):,} images are {smallest} pixels.{small}"
    else:
        sentence = (
            f"The images have {len(counted):,} sizes, from {smallest} to {largest} pixels.{small} "
            f"A simple classifier that knows nothing but the size best tells {tells.label} from "
            f"the rest: {tells.accuracy:.0%} right (balanced; chance 50%). Surely more than "
            f"{ABOVE_CHANCE * 100:.0f} points above chance is a warning: stretched to one size, "
            "the images still show what they were, by their proportions and their sharpness."
        )
    telling = tells is not None and tells.low > 0.5 + ABOVE_CHANCE
    return Finding(
        code="IMAGE_SIZES",
        title="Sizes of the images",
        severity="major",
        outcome="warning" if telling else "passed",
        sentence=sentence,
    )


def blank(regions: Sequence[BlankRegion]) -> Finding:
    """Judge regions that are black more often in some classes than in others, the largest first."""
    if not regions:
        sentence = (
            f"No region of 6% or more of the width and the height is black in one class "
            f"{BLANK_DIFFERENCE * 100:.0f} points more often than in another."
        )
    else:
        told = "; ".join(map(_blank_words, regions[:_REGIONS_TOLD]))
        more = len(regions) - _REGIONS_TOLD
        others = f" {more} smaller ones are like that." * (more > 0)
        sentence = f"{told[:1].upper()}{told[1:]}.{others} A network can tell these classes by it."
        sentence += _how_to_blank([region for region in regions if region.fills >= COMPACT])
    return Finding(
        code="BLANK_REGION",
        title="Blanked regions",
        severity="major",
        outcome="failed" if regions else "passed",
        sentence=sentence,
    )


def _blank_words(region: BlankRegion) -> str:
    most, least = (
        choose(region.share, key=lambda name: region.share[name]) for choose in (max, min)
    )
    what = "the" if region.fills >= COMPACT else "part of the"
    return (
        f"{what} {region.place} region (from the left {region.left:.0%} to {region.right:.0%}, "
        f"from the top {region.top:.0%} to {region.bottom:.0%}) is black in "
        f"{region.share[most]:.0%} of the images of {most}, but in {region.share[least]:.0%} of "
        f"{least}"
    )


def _how_to_blank(compact: Sequence[BlankRegion]) -> str:
    """Say how to make regions black in all images, where rectangles do that and spare the rest."""
    if not compact:
        return ""
    rectangles = [region.rectangle for region in compact]
    one = "the rectangle" if len(compact) == 1 else "these rectangles"
    return f" data.blank: {rectangles} makes {one} black in all images."
