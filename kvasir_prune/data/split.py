"""Dividing images into train, validation and test: exactly by class, or whole groups at a time.

The result depends on names, contents and the seed alone: images are ordered by a seeded hash of
both, never by where a folder lists them.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from kvasir_prune.data.group_split import assign_groups
from kvasir_prune.errors import DataError
from kvasir_prune.types import SPLITS, TRAIN

ROUNDING = 1e-9
"""Shares differ by this much without a reason: 0.20 - 0.15 is not quite 0.05."""


@dataclass(frozen=True)
class Item:
    """What the split knows of an image; `path` is unique, `sha256` is of its content."""

    path: str
    sha256: str
    label: str
    given: str | None = None
    group: str | None = None


def split(
    items: Sequence[Item],
    fractions: Mapping[str, float],
    seed: int,
    *,
    max_deviation: float,
) -> dict[str, str]:
    """Assign every image to a split.

    Args:
        items: the images.
        fractions: wished share of train, validation and test; adds up to 1.
        seed: decides which images of a class go where.
        max_deviation: with groups, the largest accepted |achieved - wished| share of a class.

    Returns:
        Path -> split.

    Raises:
        DataError: a class is too small, or groups cannot be divided within `max_deviation`.
    """
    free, shares = _divisible(items, fractions)
    divisible = {item.path for item in free}
    fixed = {i.path: i.given for i in items if i.given and i.path not in divisible}
    _check_sizes(items, free, list(shares))
    if any(item.group is not None for item in items):
        _check_given_groups(items, fixed)
        chosen = _by_group(free, shares, seed)
        found = deviations(items, {**fixed, **chosen}, fractions)
        _check_deviation(found, max_deviation)
    else:
        chosen = _by_class(free, shares, seed)
    return {**fixed, **chosen}


def largest_remainder(total: int, shares: Mapping[str, float]) -> dict[str, int]:
    """Divide `total` by shares so that the parts add up exactly (Hamilton's method).

    Equal remainders are served in the order of `shares`; where there are enough images, no
    split is left without one.
    """
    quotas = {name: total * share for name, share in shares.items()}
    parts = {name: int(quota + ROUNDING) for name, quota in quotas.items()}
    by_remainder = sorted(shares, key=lambda name: parts[name] - quotas[name])
    for name in by_remainder[: total - sum(parts.values())]:
        parts[name] += 1
    for name in shares:
        if parts[name] == 0 and total >= len(shares):
            parts[max(parts, key=lambda other: parts[other])] -= 1
            parts[name] = 1
    return parts


def deviations(
    items: Iterable[Item], assigned: Mapping[str, str], fractions: Mapping[str, float]
) -> dict[str, dict[str, float]]:
    """Return class -> split -> achieved minus wished share of the images that could be divided.

    Args:
        items: all images.
        assigned: path -> split, as `split` gave it.
        fractions: as `split` got them.
    """
    free, shares = _divisible(list(items), fractions)
    by_class: dict[str, Counter[str]] = defaultdict(Counter)
    for item in free:
        by_class[item.label][assigned[item.path]] += 1
    return {
        label: {name: counts[name] / counts.total() - share for name, share in shares.items()}
        for label, counts in sorted(by_class.items())
    }


def _divisible(
    items: Sequence[Item], fractions: Mapping[str, float]
) -> tuple[list[Item], dict[str, float]]:
    """Return the images without a given split, and the shares of the splits left for them.

    Train takes over the share of a split that the set itself brings: 70/15/15 becomes 85/15.
    """
    fixed = {item.given for item in items} - {None, TRAIN}
    free = [item for item in items if item.given not in fixed]
    shares = {name: fractions[name] for name in SPLITS if name not in fixed}
    shares[TRAIN] = 1.0 - sum(share for name, share in shares.items() if name != TRAIN)
    return free, shares


def _by_class(free: Sequence[Item], shares: Mapping[str, float], seed: int) -> dict[str, str]:
    assigned = {}
    for label in sorted({item.label for item in free}):
        members = sorted(
            (item for item in free if item.label == label),
            key=lambda item: hashed(seed, item.path, item.sha256),
        )
        counts = largest_remainder(len(members), shares)
        names = [name for name, count in counts.items() for _ in range(count)]
        assigned.update({item.path: name for item, name in zip(members, names, strict=True)})
    return assigned


def _by_group(free: Sequence[Item], shares: Mapping[str, float], seed: int) -> dict[str, str]:
    groups: dict[str, Counter[str]] = defaultdict(Counter)
    for item in free:
        # An image without a group is a group of its own, and must not share a name with one.
        groups[_group_key(item)][item.label] += 1
    totals = Counter(item.label for item in free)
    targets = {label: largest_remainder(count, shares) for label, count in totals.items()}
    order = sorted(groups, key=lambda name: hashed(seed, name))
    chosen = assign_groups({name: groups[name] for name in order}, targets, seed)
    return {item.path: chosen[_group_key(item)] for item in free}


def _group_key(item: Item) -> str:
    return f"image {item.path}" if item.group is None else f"group {item.group}"


def hashed(seed: int, *parts: str) -> str:
    """Return a seeded hash that orders things without regard to how they were listed."""
    return hashlib.sha256("\0".join((str(seed), *parts)).encode()).hexdigest()


def _check_sizes(items: Sequence[Item], free: Sequence[Item], names: Sequence[str]) -> None:
    counts = Counter(item.label for item in free)
    for label in sorted({item.label for item in items}):
        if counts[label] < len(names):
            raise DataError(
                f'The class "{label}" has fewer images than there are splits.',
                where="data",
                got=f"{counts[label]} images to divide",
                expected=f"at least {len(names)}, one for each of {', '.join(names)}",
                fix="add images of this class or leave the class out",
            )


def _check_given_groups(items: Sequence[Item], fixed: Mapping[str, str]) -> None:
    places: dict[str, set[str]] = defaultdict(set)
    for item in items:
        if item.group is not None:
            places[item.group].add(fixed.get(item.path) or TRAIN)
    torn = sorted(group for group, names in places.items() if len(names) > 1)
    if torn:
        raise DataError(
            f"{len(torn)} groups stand in more than one split of the set's own folders.",
            where="data.group_by",
            got=", ".join(torn[:5]) + (", ..." if len(torn) > 5 else ""),
            expected="every group inside one split",
            fix="merge the split folders into one, so that the groups decide",
        )


def _check_deviation(found: Mapping[str, Mapping[str, float]], limit: float) -> None:
    off = [
        f"{label}: {name} {difference:+.1%}"
        for label, by_split in found.items()
        for name, difference in by_split.items()
        if abs(difference) > limit + ROUNDING
    ]
    if off:
        raise DataError(
            "The groups cannot be divided as wished.",
            where="data.group_by",
            got="; ".join(off),
            expected=f"every share within {limit:.0%} of the wished one",
            fix="accept more with data.max_deviation, change data.fractions, or use finer groups",
        )
