"""Whole groups into splits with the least deviation from the wished counts, as an integer program.

Groups with the same number of images of every class are interchangeable; so the program counts,
for each kind of group, how many go into each split. HiGHS (through SciPy) minimises the sum over
classes and splits of |assigned - wished| / images of the class.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, milp

from kvasir_prune.errors import DataError

Composition = tuple[int, ...]
Matrix = NDArray[np.float64]

NODE_LIMIT = 20_000
"""Branch-and-bound nodes after which the best division found so far is taken; a number of nodes,
unlike a number of seconds, gives the same split on every machine."""


def assign_groups(
    groups: Mapping[str, Mapping[str, int]],
    targets: Mapping[str, Mapping[str, int]],
    seed: int,
) -> dict[str, str]:
    """Assign every group to a split.

    Args:
        groups: group -> class -> number of images; its order decides which of several
            interchangeable groups goes where.
        targets: class -> split -> wished number of images.
        seed: breaks ties between equally good divisions.

    Returns:
        Group -> split. Every class has an image in every split.

    Raises:
        DataError: a class has too few groups for one in every split.
    """
    classes = sorted(targets)
    splits = list(next(iter(targets.values())))
    kinds: dict[Composition, list[str]] = defaultdict(list)
    for name, counts in groups.items():
        kinds[tuple(counts.get(label, 0) for label in classes)].append(name)
    compositions = sorted(kinds)
    wished = np.array([[targets[label][s] for s in splits] for label in classes], float)
    numbers = _solve(compositions, [len(kinds[c]) for c in compositions], wished, seed)
    if numbers is None:
        raise _too_few_groups(groups, classes, splits)
    assigned = {}
    for composition, row in zip(compositions, numbers, strict=True):
        names = [split for split, count in zip(splits, row, strict=True) for _ in range(count)]
        assigned.update(dict(zip(kinds[composition], names, strict=True)))
    return assigned


def _solve(
    compositions: list[Composition], available: list[int], wished: Matrix, seed: int
) -> NDArray[np.intp] | None:
    """Return how many groups of each kind go into each split, or None if that cannot be.

    Variables: numbers[kind, split] (integer), then excess[class, split] >= |assigned - wished|.
    """
    kinds, (classes, splits) = len(compositions), wished.shape
    whole, slack = kinds * splits, classes * splits
    images = np.kron(np.array(compositions, float).T, np.eye(splits))
    every_group_once = np.kron(np.eye(kinds), np.ones(splits))
    none, one = np.zeros((kinds, slack)), np.eye(slack)
    constraints = [
        LinearConstraint(np.hstack([every_group_once, none]), available, available),
        LinearConstraint(np.hstack([images, -one]), -np.inf, wished.ravel()),
        LinearConstraint(np.hstack([images, one]), wished.ravel(), np.inf),
        LinearConstraint(np.hstack([images, 0 * one]), 1, np.inf),
    ]
    per_class = np.repeat(1 / wished.sum(axis=1), splits)
    # Far below the cost of one misplaced image, even when summed over all groups.
    tie_breaks = np.random.default_rng(seed).random(whole) * 1e-3 * per_class.min()
    tie_breaks /= max(1, sum(available))
    result = milp(
        np.concatenate([tie_breaks, per_class]),
        integrality=np.concatenate([np.ones(whole), np.zeros(slack)]),
        bounds=Bounds(0, np.inf),
        constraints=constraints,
        options={"node_limit": NODE_LIMIT},
    )
    if result.x is None:
        return None
    numbers: NDArray[np.intp] = np.rint(result.x[:whole]).astype(np.intp).reshape(kinds, splits)
    return numbers


def _too_few_groups(
    groups: Mapping[str, Mapping[str, int]], classes: list[str], splits: list[str]
) -> DataError:
    having = {label: sum(1 for counts in groups.values() if counts.get(label)) for label in classes}
    label = min(having, key=lambda name: having[name])
    return DataError(
        "The groups cannot be divided so that every class has images in every split.",
        where="data.group_by",
        got=f'the class "{label}" stands in {having[label]} groups',
        expected=f"groups of every class for each of {', '.join(splits)}",
        fix="use finer groups, or add images from other patients or videos",
    )
