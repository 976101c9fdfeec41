"""The questions a clinician asks first, each with its answer in a sentence or two."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from kvasir_prune.evaluation.comparison import ClassComparison, Comparison, has_few_groups
from kvasir_prune.evaluation.detection import Detection
from kvasir_prune.evaluation.intervals import Estimate
from kvasir_prune.evaluation.significance import ALPHA
from kvasir_prune.report import captions, notation
from kvasir_prune.report.schema import Assessment, Record


@dataclass(frozen=True)
class Conclusion:
    """A question and its answer."""

    question: str
    answer: str


ENOUGH_MOVED = 10
"""Images that must have changed their label before a chi-squared test of the labels is told."""


def conclusions(record: Record) -> list[Conclusion]:
    """Return what the test images say; empty if there are none."""
    assessment = record.results.assessment
    if assessment is None:
        return []
    trust = ("Can the comparison be trusted?", _trust(record))
    return [Conclusion(*pair) for pair in (*_pairs(record, assessment), trust)]


def _pairs(record: Record, assessment: Assessment) -> Iterator[tuple[str, str]]:
    whole = assessment.comparison
    yield "Did the network become worse?", _accuracy(whole)
    yield "Could that be chance?", _chance(whole)
    yield "Is a fall of the accuracy within the margin?", _good_enough(record, assessment)
    if assessment.detection is not None:
        yield "Is disease missed?", _disease(assessment, assessment.detection)
    yield "Which classes suffer?", _classes(whole)
    yield "What could these images have shown?", _power(whole)


def _trust(record: Record) -> str:
    failed = _failed(record)
    if not failed:
        return captions.note("data_passed")
    return captions.note("data_failed", failed=notation.listing(failed))


def _failed(record: Record) -> list[str]:
    checks = record.results.data_check.findings
    return [check.title.lower() for check in checks if check.outcome == "failed"]


def _accuracy(whole: Comparison) -> str:
    change, balanced = whole.overall["accuracy"], whole.overall["balanced_accuracy"]
    before, after = (round((e.value or 0.0) * whole.images) for e in (change.before, change.after))
    return (
        f"{_direction(whole)} Of {notation.plural(whole.images, 'test image')} it "
        f"names {notation.count(before)} correctly before pruning and {notation.count(after)} "
        f"after it: an accuracy of {notation.tenths(change.before.value)}% before and "
        f"{notation.tenths(change.after.value)}% after, {_points(change.difference)}. With every "
        f"class counting alike (balanced accuracy) it is {_points(balanced.difference)}."
    )


def _direction(whole: Comparison) -> str:
    difference, test = whole.overall["accuracy"].difference, whole.mcnemar
    if _in_groups(whole):
        worse = difference.high is not None and difference.high < 0
        better = difference.low is not None and difference.low > 0
    else:
        worse, better = (
            test.p < ALPHA and more > fewer
            for more, fewer in ((test.lost, test.gained), (test.gained, test.lost))
        )
    return "Yes." if worse else "No, it became better." if better else "Not shown either way."


def _in_groups(whole: Comparison) -> bool:
    """Return whether images belong together, so that tests of single images say too much."""
    return whole.groups < whole.images


def _points(difference: Estimate) -> str:
    points = f"a change of {notation.signed_tenths(difference.value)} percentage points"
    return points if difference.low is None else f"{points} ({_interval(difference)})"


def _interval(difference: Estimate) -> str:
    low, high = (notation.signed_tenths(end) for end in (difference.low, difference.high))
    return f"95% interval {low} to {high}"


def _chance(whole: Comparison) -> str:
    test, shift = whole.mcnemar, whole.homogeneity
    if test.lost == test.gained == 0:
        return captions.note("no_flip_of_correctness")
    said = (
        f"{notation.plural(test.lost, 'image')} became wrong and {notation.count(test.gained)} "
        "became right"
    )
    if _in_groups(whole):
        return f"{said}. {captions.note('chance_in_groups')}"
    uneven = "more than chance explains" if test.p < ALPHA else "chance alone could explain this"
    said = f"{said}; exact McNemar test p {notation.p_equals(test.p)}: {uneven}."
    if shift.p is None or shift.p >= ALPHA or _moved(whole) < ENOUGH_MOVED:
        return said
    return f"{said} {captions.note('labels_shifted', p=notation.p_equals(shift.p))}"


def _moved(whole: Comparison) -> int:
    """Return how many images changed their label."""
    return whole.images - sum(row[k] for k, row in enumerate(whole.moved))


def _good_enough(record: Record, assessment: Assessment) -> str:
    if not assessment.verdicts:
        return captions.note("no_margin")
    said = [
        captions.note(
            f"verdict_{verdict.finding.replace(' ', '_').replace('-', '_')}",
            metric=name.replace("_", " "),
            margin=notation.tenths(verdict.margin),
            interval=_interval(verdict.difference),
        )
        for name, verdict in assessment.verdicts.items()
    ]
    if not assessment.prespecified:
        said.append(captions.note("margin_set_afterwards"))
    if _failed(record):
        said.append(captions.note("verdict_with_reservations"))
    return " ".join(said)


def _disease(assessment: Assessment, found: Detection) -> str:
    sick, well = found.comparison.classes
    groups = notation.listing([notation.printable(name) for name in found.groups])
    word = "group" if len(found.groups) == 1 else "groups"
    missed = sum(flip.missed_disease for flip in assessment.flips)
    newly = notation.plural(missed, "image") if missed else "none"
    return (
        f"{_called(sick, f'with disease ({word} {groups})', 'a disease')} "
        f"{_called(well, 'without disease', 'none')} "
        f"Recognised as disease before pruning and missed after it: {newly}."
    )


def _called(one: ClassComparison, shown: str, called: str) -> str:
    if one.images == 0:
        return f"There are no test images {shown}."
    change = one.metrics["sensitivity"]
    return (
        f"Of {notation.plural(one.images, 'image')} {shown}, "
        f"{notation.tenths(change.before.value)}% are called {called} before pruning and "
        f"{notation.tenths(change.after.value)}% after it: {_points(change.difference)}."
    )


def _classes(whole: Comparison) -> str:
    worse = [one for one in whole.classes if one.mcnemar.lost > one.mcnemar.gained]
    sure = [one for one in worse if not _in_groups(whole) and (one.mcnemar.p_holm or 1) < ALPHA]
    likely = [one for one in worse if one not in sure and _lies_below_zero(one)]
    said = [
        captions.note(key, classes=notation.listing([_losses(one) for one in classes]))
        for key, classes in (("surely_worse", sure), ("likely_worse", likely))
        if classes
    ]
    return " ".join(said) or captions.note("no_class_worse")


def _lies_below_zero(one: ClassComparison) -> bool:
    high = one.metrics["sensitivity"].difference.high
    return high is not None and high < 0


def _losses(one: ClassComparison) -> str:
    change, test = one.metrics["sensitivity"], one.mcnemar
    right = [round((e.value or 0.0) * one.images) for e in (change.before, change.after)]
    interval = "" if change.difference.low is None else f"{_interval(change.difference)}, "
    return (
        f"{notation.printable(one.name)} ({right[0]:,} of {one.images:,} recognised before and "
        f"{right[1]:,} after; {interval}adjusted p {notation.p_equals(test.p_holm)})"
    )


def _power(whole: Comparison) -> str:
    said = captions.note(
        "power",
        overall=notation.count(whole.flips_needed),
        by_class=notation.count(whole.flips_needed_by_class),
    )
    if whole.groups == whole.images:
        return said
    counts = {"images": notation.count(whole.images), "groups": notation.count(whole.groups)}
    said = f"{said} {captions.note('images_in_groups', **counts)}"
    few = [
        notation.printable(one.name)
        for one in whole.classes
        if has_few_groups(one.groups, one.images)
    ]
    return f"{said} {captions.note('few_groups', classes=notation.listing(few))}" if few else said
