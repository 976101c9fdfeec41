"""From what was measured on the images to findings, each in a plain sentence.

Thresholds are conventions and stand in the sentence that rests on them; they choose between
`warning` and `failed`, never what is measured.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from kvasir_prune.data.findings import Finding, Outcome
from kvasir_prune.data.near_duplicates import GROUP
from kvasir_prune.types import SPLITS, TEST, TRAIN

BALANCED = 3.0
FEW_TEST_IMAGES = 30
LEAKED_SHARE = 0.01
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
    elif not divided and all(name.startswith(f"{GROUP} ") for name in sides):
        outcome = "not assessed"
        sentence = (
            "Look-alikes are kept together (data.group_by: near_duplicates), but nothing says "
            "which images are of one patient or one video, so whether such images stand on both "
            "sides is not known."
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
