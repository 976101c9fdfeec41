"""The part of the record that judges: the networks before and after on the images held out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from kvasir_prune.config.report import ReportConfig
from kvasir_prune.data.listing import Listing
from kvasir_prune.evaluation.answers import Answers
from kvasir_prune.evaluation.class_groups import ClassGroups, named_groups
from kvasir_prune.evaluation.comparison import Comparison, compare
from kvasir_prune.evaluation.detection import detection
from kvasir_prune.evaluation.flips import flips
from kvasir_prune.evaluation.non_inferiority import Verdict, judge
from kvasir_prune.evaluation.resampling import REPLICATES
from kvasir_prune.evaluation.store import SplitLogits
from kvasir_prune.report.schema import Assessment, GroupedClasses

JUDGED = ("accuracy", "balanced_accuracy")
"""What the margin is held against: all images alike, and all classes alike."""


def assess(
    logits: SplitLogits,
    classes: Sequence[str],
    listing: Listing,
    config: ReportConfig,
    *,
    earlier_margin: float | None,
    look_alikes: Sequence[Sequence[str]] = (),
    seed: int,
    where: Path,
    replicates: int = REPLICATES,
) -> Assessment | None:
    """Compare the two networks on the test images; None if there are none.

    Args:
        logits: of the test images; finite.
        classes: their names.
        listing: of the same images.
        config: what they are judged by.
        earlier_margin: the margin that was set when the test images were evaluated, if any.
        look_alikes: paths of images that look almost the same.
        seed: of the bootstrap.
        where: the file that names the classes, for the error.
        replicates: of the bootstrap.

    Raises:
        ConfigError: a group names a class that is not there.
    """
    if len(logits.labels) == 0:
        return None
    before, after = (Answers.of(z, logits.labels) for z in (logits.before, logits.after))
    groups = named_groups(classes, config, where)
    compared = partial(compare, groups=listing.units(look_alikes), seed=seed, replicates=replicates)
    whole = compared(before, after, classes)
    margin = config.non_inferiority_margin
    return Assessment(
        comparison=whole,
        grouped=None if groups is None else _grouped(before, after, groups, compared),
        detection=None if groups is None else detection(before, after, groups, compared),
        verdicts=verdicts(whole, margin),
        prespecified=None if margin is None else margin == earlier_margin,
        flips=flips(before, after, listing.paths, classes, groups),
    )


def verdicts(whole: Comparison, margin: float | None) -> dict[str, Verdict]:
    """Hold the differences of `JUDGED` against a margin; empty without one."""
    if margin is None:
        return {}
    return {name: judge(whole.overall[name].difference, margin) for name in JUDGED}


def _grouped(
    before: Answers, after: Answers, groups: ClassGroups, compared: Callable[..., Comparison]
) -> GroupedClasses:
    merged = [answers.merged(groups.group_of) for answers in (before, after)]
    return GroupedClasses(
        names=list(groups.names),
        group_of=list(groups.group_of),
        abnormal=list(groups.abnormal),
        comparison=compared(*merged, groups.names),
    )
