"""From what was measured on the images to findings, each in a plain sentence.

Thresholds are conventions and stand in the sentence that rests on them; they choose between
`warning` and `failed`, never what is measured.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from kvasir_prune.data.findings import BlankRegion, Finding, Outcome, RegionTells, SizeTells
from kvasir_prune.types import SPLITS, TEST, TRAIN

BALANCED = 3.0
FEW_TEST_IMAGES = 30
LEAKED_SHARE = 0.01
ABOVE_CHANCE = 0.2
BLANK_DIFFERENCE = 0.25
_REGIONS_TOLD = 3
ENOUGH_TO_JUDGE = 30
"""Validation images below which the edges are not assessed."""


def class_balance(counts: Mapping[str, Mapping[str, int]]) -> Finding:
    """Judge the number of images of each class; `counts` is class -> split -> images."""
    train = {name: by_split[TRAIN] for name, by_split in counts.items()}
    least, most = (choose(train, key=lambda name: train[name]) for choose in (min, max))
    ratio = train[most] / max(1, train[least])
    return Finding(
        code="CLASS_BALANCE",
        title="Balance of the classes",
        severity="minor",
        outcome="passed" if ratio <= BALANCED else "warning",
        sentence=f"The largest class, {most}, has {train[most]:,} training images, the smallest, "
        f"{least}, {train[least]:,}: {ratio:.1f} to 1. Beyond {BALANCED:g} to 1 the overall "
        "accuracy speaks mostly for large classes.",
    )


def small_classes(counts: Mapping[str, Mapping[str, int]]) -> Finding:
    """Judge whether every class has enough test images to say anything about it."""
    few = {name: by[TEST] for name, by in counts.items() if by[TEST] < FEW_TEST_IMAGES}
    listed = ", ".join(f"{name} {count}" for name, count in few.items())
    return Finding(
        code="SMALL_CLASS",
        title="Test images of each class",
        severity="minor",
        outcome="warning" if few else "passed",
        sentence=f"Fewer than {FEW_TEST_IMAGES} test images: {listed}. Little can be said of these "
        "classes."
        if few
        else f"Every class has {FEW_TEST_IMAGES} test images or more.",
    )


def exact_duplicates(
    digests: Sequence[str], splits: Sequence[str], classes: Sequence[str]
) -> Finding:
    """Judge files with the same bytes; all three arguments have one entry an image."""
    places = defaultdict(list)
    for place, digest in enumerate(digests):
        places[digest].append(place)
    groups = [group for group in places.values() if len(group) > 1]
    leaked = sum(len(g) for g in groups if len({splits[place] for place in g}) > 1)
    contrary = sum(len(g) for g in groups if len({classes[place] for place in g}) > 1)
    copies = sum(len(group) - 1 for group in groups)
    return Finding(
        code="EXACT_DUPLICATES",
        title="Identical files",
        severity="major",
        outcome="failed" if leaked or contrary else "warning" if copies else "passed",
        sentence=f"{copies:,} of {len(digests):,} files are copies of another; {leaked:,} files "
        f"have a copy in another split, {contrary:,} one in another class."
        if copies
        else f"No two of {len(digests):,} files are identical.",
    )


def near_duplicates(
    pairs: Sequence[tuple[int, int]], splits: Sequence[str], classes: Sequence[str]
) -> list[Finding]:
    """Judge near-duplicates across splits and across classes.

    Args:
        pairs: places of two images each.
        splits: of every image.
        classes: of every image.
    """
    leaked = {
        place
        for pair in pairs
        for place, other in (pair, pair[::-1])
        if splits[place] == TEST and splits[other] != TEST
    }
    tests = Counter(splits)[TEST]
    of_class = Counter(classes[place] for place in leaked)
    listed = ", ".join(f"{name} {count}" for name, count in of_class.most_common())
    across = sum(splits[i] != splits[j] for i, j in pairs)
    contrary = sum(classes[i] != classes[j] for i, j in pairs)
    share = len(leaked) / tests if tests else 0.0
    if leaked:
        outcome: Outcome = "failed" if share > LEAKED_SHARE else "warning"
        sentence = (
            f"{len(leaked):,} of {tests:,} test images ({share:.1%}) have a near-duplicate among "
            f"the training or validation images ({listed}); {across:,} pairs lie across splits. Up "
            f"to {LEAKED_SHARE:.0%} is a warning. A network may remember such images, so the test "
            "figures may be too good."
        )
    elif across:
        outcome = "warning"
        sentence = (
            f"No test image has a near-duplicate in another split, but {across:,} pairs lie across "
            "training and validation: the validation figures may be too good."
        )
    else:
        outcome = "passed"
        sentence = f"None of {len(pairs):,} pairs of near-duplicates lies across two splits."
    return [
        Finding(
            code="NEAR_DUPLICATES",
            title="Near-duplicates across splits",
            severity="major",
            outcome=outcome,
            sentence=sentence,
        ),
        Finding(
            code="CONTRARY_LABELS",
            title="Near-duplicates with different classes",
            severity="minor",
            outcome="warning" if contrary else "passed",
            sentence=f"{contrary:,} of {len(pairs):,} pairs of near-duplicates are of two classes: "
            "one of the labels may be wrong, or the classes shade into each other."
            if contrary
            else f"Both images of each of {len(pairs):,} pairs of near-duplicates have one class.",
        ),
    ]


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


def sizes(
    counted: Mapping[tuple[int, int], int], side_px: int, tells: SizeTells | None, classes: int
) -> Finding:
    """Judge the sizes of the files before they were resized.

    Args:
        counted: (height, width) in pixels -> images.
        side_px: shorter side of what the network sees.
        tells: how well they tell the class; None where all files have one size.
        classes: number of classes.
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
            f"A simple classifier that knows nothing but the size names {tells.accuracy:.0%} of "
            f"the classes right (balanced; chance {1 / classes:.0%}). Surely more than "
            f"{ABOVE_CHANCE * 100:.0f} points above chance is a warning: stretched to one size, "
            "the images still show what they were, by their proportions and their sharpness."
        )
    telling = tells is not None and tells.low > 1 / classes + ABOVE_CHANCE
    return Finding(
        code="IMAGE_SIZES",
        title="Sizes of the images",
        severity="major",
        outcome="warning" if telling else "passed",
        sentence=sentence,
    )


def blank(regions: Sequence[BlankRegion]) -> Finding:
    """Judge regions that are black more often in one class than in another, the largest first."""
    if not regions:
        sentence = (
            f"No region is black in one class {BLANK_DIFFERENCE * 100:.0f} points more often than "
            "in another."
        )
    else:
        told = "; the ".join(map(_blank_words, regions[:_REGIONS_TOLD]))
        more = len(regions) - _REGIONS_TOLD
        others = f" {more} smaller ones are like that." * (more > 0)
        sentence = f"The {told}.{others} A network can tell these classes by it."
        if all(region.place != "edge" for region in regions):
            rectangles = [region.rectangle for region in regions]
            it = "it" if len(regions) == 1 else "them"
            sentence += f" data.blank: {rectangles} makes {it} black in all images."
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
    return (
        f"{region.place} region (from the left {region.left:.0%} to {region.right:.0%}, from the "
        f"top {region.top:.0%} to {region.bottom:.0%}) is black in {region.share[most]:.0%} of the "
        f"images of {most}, but in {region.share[least]:.0%} of {least}"
    )


def groups(names: Sequence[str], splits: Sequence[str]) -> Finding:
    """Judge whether images of one group are on one side; `names` are empty where unknown."""
    sides = defaultdict(set)
    for name, split in zip(names, splits, strict=True):
        if name:
            sides[name].add(split)
    divided = sum(len(found) > 1 for found in sides.values())
    if not sides:
        outcome: Outcome = "not assessed"
        sentence = (
            "Nothing says which images are of one patient or one video, so whether such images "
            "stand on both sides is not known (data.group_by)."
        )
    elif divided:
        outcome = "failed"
        sentence = f"{divided:,} of {len(sides):,} groups are divided between splits."
    else:
        outcome = "passed"
        sentence = (
            f"Each of {len(sides):,} groups of images (data.group_by) lies in one split. Whether "
            "that keeps patients apart depends on what the groups are."
        )
    return Finding(
        code="GROUPS",
        title="Groups kept together",
        severity="major",
        outcome=outcome,
        sentence=sentence,
    )


def unreadable(skipped: int, images: int) -> Finding:
    """Judge the files that were left out because they cannot be decoded."""
    return Finding(
        code="UNREADABLE",
        title="Unreadable files",
        severity="minor",
        outcome="warning" if skipped else "passed",
        sentence=f"{skipped:,} files were left out because they cannot be decoded; {images:,} "
        "images are used."
        if skipped
        else f"All {images:,} images could be decoded.",
    )


def not_assessed(code: str, title: str, why: str) -> Finding:
    """Say that a check was not made, and why."""
    return Finding(code=code, title=title, severity="major", outcome="not assessed", sentence=why)


def counts_of(classes: Sequence[str], splits: Sequence[str]) -> dict[str, dict[str, int]]:
    """Return class -> split -> images."""
    counted = Counter(zip(classes, splits, strict=True))
    return {
        name: {split: counted[name, split] for split in SPLITS} for name in sorted(set(classes))
    }
