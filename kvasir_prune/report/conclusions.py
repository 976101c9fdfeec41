"""The questions a clinician asks first, each with its answer in a sentence or two."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from kvasir_prune.evaluation.comparison import ClassComparison, Comparison
from kvasir_prune.evaluation.intervals import Estimate
from kvasir_prune.evaluation.non_inferiority import Verdict
from kvasir_prune.evaluation.significance import ALPHA
from kvasir_prune.report import captions, notation
from kvasir_prune.report.schema import Assessment, GroupedClasses, Record


@dataclass(frozen=True)
class Conclusion:
    """A question and its answer."""

    question: str
    answer: str


def conclusions(record: Record) -> list[Conclusion]:
    """Return what the test images say; empty if there are none."""
    assessment = record.results.assessment
    if assessment is None:
        return []
    trust = ("Can the comparison be trusted?", _trust(record))
    return [Conclusion(*pair) for pair in (*_pairs(assessment), trust)]


def _pairs(assessment: Assessment) -> Iterator[tuple[str, str]]:
    whole = assessment.comparison
    yield "Did the network become worse?", _accuracy(whole)
    yield "Could that be chance?", _chance(whole)
    yield "Is it still good enough?", _good_enough(assessment.verdict)
    if assessment.grouped is not None and assessment.grouped.abnormal:
        yield "Is disease missed?", _disease(assessment, assessment.grouped)
    yield "Which classes suffer?", _classes(whole)
    yield "What could these images have shown?", _power(whole)


def _trust(record: Record) -> str:
    checks = record.results.data_check.findings
    failed = [check.title.lower() for check in checks if check.outcome == "failed"]
    if not failed:
        return captions.note("data_passed")
    return captions.note("data_failed", failed=notation.listing(failed))


def _accuracy(whole: Comparison) -> str:
    change = whole.overall["accuracy"]
    before, after = (round((e.value or 0.0) * whole.images) for e in (change.before, change.after))
    return (
        f"Of {notation.plural(whole.images, 'test image')} it names {notation.count(after)} "
        f"correctly, before pruning {notation.count(before)}: an accuracy of "
        f"{notation.tenths(change.after.value)}% after {notation.tenths(change.before.value)}%, "
        f"{_points(change.difference)}."
    )


def _points(difference: Estimate) -> str:
    return (
        f"a change of {notation.signed_tenths(difference.value)} percentage points (95% interval "
        f"{notation.signed_tenths(difference.low)} to {notation.signed_tenths(difference.high)})"
    )


def _chance(whole: Comparison) -> str:
    test = whole.mcnemar
    if test.lost == test.gained == 0:
        return captions.note("no_flip_of_correctness")
    uneven = (
        "more than chance explains"
        if test.p < ALPHA
        else "chance alone explains a difference like this"
    )
    return (
        f"{notation.plural(test.lost, 'image')} became wrong and {notation.count(test.gained)} "
        f"became right; exact McNemar test p {notation.p_equals(test.p)}: {uneven}."
    )


def _good_enough(verdict: Verdict | None) -> str:
    if verdict is None:
        return captions.note("no_margin")
    return captions.note(
        f"verdict_{verdict.finding.replace(' ', '_').replace('-', '_')}",
        margin=notation.tenths(verdict.margin),
        low=notation.signed_tenths(verdict.difference.low),
        high=notation.signed_tenths(verdict.difference.high),
    )


def _disease(assessment: Assessment, grouped: GroupedClasses) -> str:
    said = " ".join(
        _of_group(one) for one in grouped.comparison.classes if one.name in grouped.abnormal
    )
    missed = sum(flip.missed_disease for flip in assessment.flips)
    newly = notation.plural(missed, "image") if missed else "none"
    return f"{said} Recognised as disease before pruning and missed after it: {newly}."


def _of_group(one: ClassComparison) -> str:
    if one.images == 0:
        return f"There are no test images in the group {notation.printable(one.name)}."
    change = one.metrics["sensitivity"]
    return (
        f"Of {notation.plural(one.images, 'image')} in the group {notation.printable(one.name)}, "
        f"{notation.tenths(change.after.value)}% are called so, before pruning "
        f"{notation.tenths(change.before.value)}%: {_points(change.difference)}."
    )


def _classes(whole: Comparison) -> str:
    sure = [
        one
        for one in whole.classes
        if one.mcnemar.p_holm is not None
        and one.mcnemar.p_holm < ALPHA
        and one.mcnemar.lost > one.mcnemar.gained
    ]
    if not sure:
        return captions.note("no_class_surely_worse")
    return captions.note(
        "classes_surely_worse",
        classes=notation.listing(
            [
                f"{notation.printable(one.name)} ({notation.count(one.mcnemar.lost)} images lost, "
                f"{notation.count(one.mcnemar.gained)} gained, adjusted p "
                f"{notation.p_equals(one.mcnemar.p_holm)})"
                for one in sure
            ]
        ),
    )


def _power(whole: Comparison) -> str:
    groups = (
        ""
        if whole.groups == whole.images
        else captions.note(
            "images_in_groups",
            images=notation.count(whole.images),
            groups=notation.count(whole.groups),
        )
    )
    needed = captions.note(
        "power",
        overall=notation.count(whole.flips_needed),
        by_class=notation.count(whole.flips_needed_by_class),
    )
    return f"{needed} {groups}".strip()
