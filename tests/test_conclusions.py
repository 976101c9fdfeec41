"""What the report answers a clinician, from comparisons made by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import pytest

from kvasir_prune.data.findings import Finding
from kvasir_prune.evaluation.changes import Change
from kvasir_prune.evaluation.comparison import ClassComparison, Comparison
from kvasir_prune.evaluation.detection import Detection
from kvasir_prune.evaluation.flips import Flip, Kind
from kvasir_prune.evaluation.intervals import Estimate
from kvasir_prune.evaluation.non_inferiority import Verdict
from kvasir_prune.evaluation.significance import ChiSquared, McNemar
from kvasir_prune.report import captions
from kvasir_prune.report.conclusions import conclusions
from kvasir_prune.report.schema import Assessment, Record
from tests.record_example import synthetic_record, with_results

MINUS = "\N{MINUS SIGN}"
NOTHING, UNSHIFTED = McNemar(0, 0, 1.0, 1.0), ChiSquared(0.0, 0, None)
WORSE, CHANCE, SUFFER = (
    "Did the network become worse?",
    "Could that be chance?",
    "Which classes suffer?",
)
MARGIN, DISEASE = "Is a fall of the accuracy within the margin?", "Is disease missed?"
POWER, TRUST = "What could these images have shown?", "Can the comparison be trusted?"


@cache
def base() -> Record:
    return synthetic_record(["a", "b"], nothing_removed=True)


def change(before: float, after: float, low: float | None, high: float | None) -> Change:
    return Change(Estimate(before), Estimate(after), Estimate(after - before, low, high))


UNCHANGED = change(0.9, 0.9, -0.01, 0.01)


def one_class(
    name: str,
    sensitivity: Change = UNCHANGED,
    test: McNemar = NOTHING,
    *,
    images: int = 100,
    groups: int | None = None,
) -> ClassComparison:
    units = images if groups is None else groups
    return ClassComparison(name, images, units, {"sensitivity": sensitivity}, test)


def comparison(
    accuracy: Change = UNCHANGED,
    test: McNemar = NOTHING,
    *,
    balanced: Change = UNCHANGED,
    classes: Sequence[ClassComparison] = (),
    images: int = 1000,
    groups: int = 1000,
    shift: ChiSquared = UNSHIFTED,
    moved: int = 0,
) -> Comparison:
    return Comparison(
        images=images,
        groups=groups,
        replicates=2000,
        overall={"accuracy": accuracy, "balanced_accuracy": balanced},
        classes=list(classes),
        mcnemar=test,
        homogeneity=shift,
        symmetry=shift,
        moved=[[images - moved, moved], [0, 0]],
        calibration_before=[],
        calibration_after=[],
        flips_needed=6,
        flips_needed_by_class=9,
    )


def answers(whole: Comparison, *, failed: Sequence[str] = (), **facts: Any) -> Mapping[str, str]:
    """Return the answers by question; `facts` are of the assessment."""
    known = {"grouped": None, "detection": None, "verdicts": {}, "prespecified": None, "flips": []}
    judged = Assessment(comparison=whole, **{**known, **facts})
    findings = [
        Finding(code=title, title=title, severity="major", outcome=outcome, sentence="")
        for titles, outcome in ((failed, "failed"), (("Copies",), "passed"))
        for title in titles
    ]
    checked = base().results.data_check.model_copy(update={"findings": findings})
    record = with_results(base(), assessment=judged, data_check=checked)
    return {found.question: found.answer for found in conclusions(record)}


def test_the_first_answer_holds_counts_shares_and_both_ends_of_both_intervals():
    said = answers(
        comparison(
            change(0.9, 0.85, -0.072, -0.028),
            McNemar(20, 70, 0.001),
            balanced=change(0.88, 0.84, -0.065, 0.012),
        )
    )[WORSE]
    for fact in (
        "Yes. Of 1,000 test images it names 900 correctly before pruning and 850 after it",
        "90.0% before and 85.0% after",
        f"{MINUS}5.0 percentage points (95% interval {MINUS}7.2 to {MINUS}2.8)",
        f"{MINUS}4.0 percentage points (95% interval {MINUS}6.5 to +1.2)",
    ):
        assert fact in said


BOTH_SIDES, BELOW, ABOVE = (
    change(0.9, 0.89, *ends) for ends in ((-0.1, 0.1), (-0.1, -0.001), (0.001, 0.1))
)


@pytest.mark.parametrize(
    ("accuracy", "test", "groups", "answer"),
    [
        (BOTH_SIDES, McNemar(2, 9, 0.049), 1000, "Yes."),
        (BOTH_SIDES, McNemar(9, 2, 0.049), 1000, "No, it became better."),
        (BELOW, McNemar(2, 9, 0.05), 1000, "Not shown either way."),
        # In groups the test of single images says too much, and the interval decides.
        (BOTH_SIDES, McNemar(2, 9, 0.001), 999, "Not shown either way."),
        (BELOW, McNemar(2, 9, 0.9), 999, "Yes."),
        (ABOVE, McNemar(9, 2, 0.9), 999, "No, it became better."),
        (change(0.9, 0.8, None, None), McNemar(2, 9, 0.001), 5, "Not shown either way."),
    ],
)
def test_worse_or_better_is_what_the_test_or_in_groups_the_interval_shows(
    accuracy, test, groups, answer
):
    assert answers(comparison(accuracy, test, groups=groups))[WORSE].startswith(answer)


def test_chance_is_told_by_the_exact_test():
    assert answers(comparison())[CHANCE] == captions.note("no_flip_of_correctness")
    said = answers(comparison(test=McNemar(2, 11, 0.0225)))[CHANCE]
    assert said.startswith("11 images became wrong and 2 became right; exact McNemar test p = 0.02")
    assert "more than chance explains" in said
    said = answers(comparison(test=McNemar(11, 1, 0.3)))[CHANCE]
    assert said.startswith("1 image became wrong and 11 became right")
    assert "chance alone could explain this" in said


def test_in_groups_no_p_value_of_single_images_is_told():
    said = answers(comparison(test=McNemar(2, 11, 0.0225), groups=400))[CHANCE]
    assert said == f"11 images became wrong and 2 became right. {captions.note('chance_in_groups')}"


@pytest.mark.parametrize(
    ("p", "moved", "told"), [(0.004, 10, True), (0.004, 9, False), (0.05, 10, False)]
)
def test_a_shift_of_the_labels_is_told_where_enough_moved(p, moved, told):
    shift = ChiSquared(9.5, 2, p)
    said = answers(comparison(test=McNemar(2, 3, 0.9), shift=shift, moved=moved))[CHANCE]
    assert (captions.note("labels_shifted", p="= 0.004") in said) is told
    assert ("Stuart-Maxwell" in said) is told


@pytest.mark.parametrize(
    ("finding", "low", "high"),
    [("non-inferior", -0.011, 0.004), ("inferior", -0.093, -0.041), ("not shown", -0.033, 0.007)],
)
def test_a_verdict_is_told_with_its_margin_and_both_ends(finding, low, high):
    verdict = Verdict(0.02, Estimate(-0.01, low, high), finding)
    whole = comparison()
    said = answers(whole, verdicts={"balanced_accuracy": verdict}, prespecified=True)[MARGIN]
    ends = [f"{100 * end:+.1f}".replace("-", MINUS) for end in (low, high)]
    key = f"verdict_{finding}".replace(" ", "_").replace("-", "_")
    interval = f"95% interval {ends[0]} to {ends[1]}"
    facts = {"metric": "balanced accuracy", "margin": "2.0", "interval": interval}
    assert said == captions.note(key, **facts)
    assert interval in said


def test_a_verdict_says_what_it_is_worth():
    verdicts = {"accuracy": Verdict(0.02, Estimate(-0.01, -0.015, 0.0), "non-inferior")}
    afterwards, doubts = map(captions.note, ("margin_set_afterwards", "verdict_with_reservations"))
    sound = answers(comparison(), verdicts=verdicts, prespecified=True)[MARGIN]
    assert afterwards not in sound
    assert doubts not in sound
    late = answers(comparison(), verdicts=verdicts, prespecified=False)[MARGIN]
    assert late.endswith(afterwards)
    doubtful = answers(comparison(), verdicts=verdicts, prespecified=True, failed=["Borders"])
    assert doubtful[MARGIN].endswith(doubts)
    assert doubtful[TRUST] == captions.note("data_failed", failed="borders")
    assert answers(comparison())[MARGIN] == captions.note("no_margin")


def flip(kind: Kind, missed: bool) -> Flip:
    return Flip(0, "a.jpg", "polyp", "polyp", "cecum", 0.9, 0.8, kind, missed)


@pytest.mark.parametrize(("missed", "told"), [(0, "none."), (1, "1 image."), (3, "3 images.")])
def test_missed_disease_is_counted_and_both_sides_are_told(missed, told):
    sick = one_class("disease", change(0.92, 0.8, -0.172, -0.051), images=250)
    well = one_class("no disease", change(0.7, 0.75, -0.012, 0.112), images=40)
    found = Detection(
        ["sick", "rare"], comparison(classes=[sick, well]), [[1, 0]] * 2, [[1, 0]] * 2
    )
    flips = [*missed * [flip("lost", True)], flip("lost", False), flip("gained", False)]
    said = answers(comparison(), detection=found, flips=flips)[DISEASE]
    assert said.endswith(f"missed after it: {told}")
    for fact in (
        "Of 250 images with disease (groups sick and rare), 92.0% are called a disease before "
        "pruning and 80.0% after it",
        f"95% interval {MINUS}17.2 to {MINUS}5.1",
        "Of 40 images without disease, 70.0% are called none before pruning and 75.0% after it",
        f"95% interval {MINUS}1.2 to +11.2",
    ):
        assert fact in said
    none = Detection(["sick"], comparison(classes=[one_class("disease", images=0), well]), [], [])
    said = answers(comparison(), detection=none)[DISEASE]
    assert "There are no test images with disease (group sick)." in said
    assert DISEASE not in answers(comparison())


SURE = one_class("sure", change(0.9, 0.7, -0.31, -0.12), McNemar(2, 22, 0.001, 0.012))
LIKELY = one_class("likely", change(0.9, 0.84, -0.118, -0.002), McNemar(1, 7, 0.03, 0.36))
UNCLEAR = one_class("unclear", change(0.9, 0.88, -0.06, 0.02), McNemar(1, 3, 0.6, 1.0))
BETTER = one_class("better", change(0.7, 0.9, 0.12, 0.31), McNemar(22, 2, 0.001, 0.012))
SURELY = (
    f"sure (90 of 100 recognised before and 70 after; 95% interval {MINUS}31.0 to {MINUS}12.0, "
    "adjusted p = 0.012)"
)
LIKELY_SO = (
    f"likely (90 of 100 recognised before and 84 after; 95% interval {MINUS}11.8 to {MINUS}0.2, "
    "adjusted p = 0.36)"
)


@pytest.mark.parametrize(
    ("classes", "said"),
    [
        ([SURE, BETTER, UNCLEAR], {"surely_worse": SURELY}),
        ([LIKELY, BETTER], {"likely_worse": LIKELY_SO}),
        ([UNCLEAR, LIKELY, SURE], {"surely_worse": SURELY, "likely_worse": LIKELY_SO}),
        ([UNCLEAR, BETTER], {}),
    ],
)
def test_classes_that_suffer_are_named_with_how_sure_that_is(classes, said):
    found = answers(comparison(classes=classes))[SUFFER]
    notes = [captions.note(key, classes=names) for key, names in said.items()]
    assert found == (" ".join(notes) or captions.note("no_class_worse"))


def test_in_groups_no_class_is_surely_worse():
    found = answers(comparison(classes=[SURE, LIKELY], groups=999))[SUFFER]
    names = f"{SURELY} and {LIKELY_SO}"
    assert found == captions.note("likely_worse", classes=names)


def test_a_class_without_an_interval_is_told_without_one():
    sure = one_class("sure", change(0.9, 0.7, None, None), McNemar(0, 20, 1e-6, 1e-5))
    found = answers(comparison(classes=[sure]))[SUFFER]
    assert "sure (90 of 100 recognised before and 70 after; adjusted p < 0.001)" in found


def test_the_power_sentence_counts_flips_groups_and_classes_of_few_groups():
    alone = answers(comparison())[POWER]
    assert alone == captions.note("power", overall="6", by_class="9")
    classes = [
        one_class("many", groups=10),
        one_class("few", groups=9),
        one_class("small", images=4, groups=4),
        one_class("alike", images=4, groups=3),
    ]
    said = answers(comparison(classes=classes, images=1208, groups=1026))[POWER]
    in_groups = captions.note("images_in_groups", images="1,208", groups="1,026")
    few = captions.note("few_groups", classes="few and alike")
    assert said == f"{alone} {in_groups} {few}"
    enough = answers(comparison(classes=classes[:1], images=1208, groups=1026))[POWER]
    assert enough == f"{alone} {in_groups}"
