"""The tables of the assessment: intervals, tests and flips on the test images."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from kvasir_prune.evaluation.changes import Change
from kvasir_prune.evaluation.comparison import ClassComparison, Comparison
from kvasir_prune.evaluation.detection import Detection
from kvasir_prune.evaluation.flips import Flip
from kvasir_prune.evaluation.significance import ChiSquared
from kvasir_prune.report import captions, notation
from kvasir_prune.report.schema import Assessment
from kvasir_prune.report.tables import Column, Row, Table, columns

FLIPS_LISTED = 100
"""Flips in the list, and in a print of the gallery; `flips.csv` has all."""

Write = Callable[[float | None], str]


class Metric(NamedTuple):
    """How a metric is called, and how it and a change of it are written."""

    head: str
    write: Write
    signed: Write


METRICS: Mapping[str, Metric] = {
    "accuracy": Metric("Accuracy (%)", notation.tenths, notation.signed_tenths),
    "balanced_accuracy": Metric("Balanced accuracy (%)", notation.tenths, notation.signed_tenths),
    "macro_f1": Metric("F1, mean of classes (%)", notation.tenths, notation.signed_tenths),
    "mcc": Metric("Matthews correlation", notation.score, notation.signed_score),
    "kappa": Metric("Cohen's kappa", notation.score, notation.signed_score),
    "auroc": Metric("AUROC, one against the rest", notation.score, notation.signed_score),
    "log_loss": Metric("Log loss (nats)", notation.score, notation.signed_score),
    "brier": Metric("Brier score (0 to 2)", notation.score, notation.signed_score),
    "ece": Metric("Calibration error (%)", notation.tenths, notation.signed_tenths),
    "sensitivity": Metric("Sensitivity (%)", notation.tenths, notation.signed_tenths),
    "specificity": Metric("Specificity (%)", notation.tenths, notation.signed_tenths),
    "ppv": Metric("Positive predictive value (%)", notation.tenths, notation.signed_tenths),
    "npv": Metric("Negative predictive value (%)", notation.tenths, notation.signed_tenths),
    "f1": Metric("F1 (%)", notation.tenths, notation.signed_tenths),
}


def tables(assessment: Assessment) -> Iterator[Table]:
    """Yield all tables of an assessment; those of groups only where there are groups."""
    yield overall(assessment.comparison)
    if assessment.detection is not None:
        yield from _of_detection(assessment.detection)
    yield from _of_classes(assessment.comparison, "classes")
    if assessment.grouped is not None:
        yield from _of_classes(assessment.grouped.comparison, "groups")
    yield shifts(assessment.comparison)
    yield flipped(assessment)


def overall(comparison: Comparison) -> Table:
    """Return every metric of the whole network with its intervals."""
    return Table(
        "metrics",
        captions.of_table("metrics"),
        columns("Metric", "before", "after", "change"),
        tuple(
            (METRICS[name].head, *_change_row(name, change))
            for name, change in comparison.overall.items()
        ),
    )


def _of_classes(comparison: Comparison, kind: str) -> Iterator[Table]:
    """Yield the flips and sensitivity of classes or groups, then their other metrics."""
    yield Table(
        f"{kind}_sensitivity",
        captions.of_table(f"{kind}_sensitivity"),
        (
            *columns("Class" if kind == "classes" else "Group", "Images"),
            *columns("", "before", "after", "change", group="Sensitivity (%)")[1:],
            *columns("", "lost", "gained", "p", group="Flips")[1:],
        ),
        tuple(map(sensitivity_row, comparison.classes)),
    )
    yield Table(
        f"{kind}_metrics",
        captions.of_table(f"{kind}_metrics"),
        (
            *columns("Class" if kind == "classes" else "Group"),
            Column("Metric", is_text=True),
            *columns("", "before", "after", "change")[1:],
        ),
        tuple(
            (notation.printable(one.name), METRICS[metric].head, *_change_row(metric, change))
            for one in comparison.classes
            for metric, change in one.metrics.items()
        ),
    )


def sensitivity_row(one: ClassComparison) -> Row:
    """Return name, images, sensitivities with their change, flips and adjusted p of a class."""
    test = one.mcnemar
    return (
        notation.printable(one.name),
        notation.count(one.images),
        *_change_row("sensitivity", one.metrics["sensitivity"]),
        notation.count(test.lost),
        notation.count(test.gained),
        notation.p_value(test.p_holm),
    )


def _of_detection(found: Detection) -> Iterator[Table]:
    """Yield the 2x2 tables of disease or not, then sensitivity and specificity."""
    names = [one.name.capitalize() for one in found.comparison.classes]
    yield Table(
        "detection",
        captions.of_table("detection"),
        (
            *columns("Shows", *names, group="Called before pruning"),
            *columns("", *names, group="Called after pruning")[1:],
        ),
        tuple(
            (name, *map(notation.count, (*was, *now)))
            for name, was, now in zip(names, found.before, found.after, strict=True)
        ),
    )
    yield Table(
        "detection_metrics",
        captions.of_table("detection_metrics"),
        (
            *columns("Metric (%)", "images", "before", "after", "change"),
            *columns("", "lost", "gained", "p", group="Flips")[1:],
        ),
        tuple(
            (head, *sensitivity_row(one)[1:])
            for head, one in zip(
                ("Sensitivity", "Specificity"), found.comparison.classes, strict=True
            )
        ),
    )


def _change_row(metric: str, change: Change) -> tuple[str, str, str]:
    written = METRICS[metric]
    return (
        notation.estimate(change.before, written.write),
        notation.estimate(change.after, written.write),
        notation.estimate(change.difference, written.signed),
    )


def shifts(comparison: Comparison) -> Table:
    """Return the tests of all images: of right answers, and of shifts of the label."""
    test = comparison.mcnemar
    return Table(
        "shifts",
        captions.of_table("shifts"),
        (Column("Question", is_text=True), Column("Test", is_text=True), *columns("", "p")[1:]),
        (
            (
                "Were as many images gained as lost?",
                f"exact McNemar: {notation.count(test.lost)} lost, "
                f"{notation.count(test.gained)} gained",
                notation.p_value(test.p),
            ),
            (
                "Is each class named as often as before?",
                _chi_squared("Stuart-Maxwell", comparison.homogeneity),
                notation.p_value(comparison.homogeneity.p),
            ),
            (
                "Do moves between two classes balance?",
                _chi_squared("Bowker", comparison.symmetry),
                notation.p_value(comparison.symmetry.p),
            ),
        ),
    )


def _chi_squared(name: str, found: ChiSquared) -> str:
    if found.p is None:
        return f"{name}: no label moved"
    return f"{name}: chi-squared {found.statistic:.2f}, {found.degrees_of_freedom} df"


def flipped(assessment: Assessment) -> Table:
    """Return the images whose answer changed, the most harmful first, cut at `FLIPS_LISTED`."""
    return Table(
        "flips",
        captions.of_table("flips"),
        (
            *(Column(head, is_text=True) for head in ("Image", "What happened", "Actual class")),
            Column("named", "Before", is_text=True),
            Column("sure (%)", "Before"),
            Column("named", "After", is_text=True),
            Column("sure (%)", "After"),
        ),
        tuple(map(_flip_row, assessment.flips[:FLIPS_LISTED])),
    )


def _flip_row(flip: Flip) -> Row:
    return (
        notation.printable(flip.path),
        what_happened(flip),
        notation.printable(flip.label),
        notation.printable(flip.before),
        notation.tenths(flip.confidence_before),
        notation.printable(flip.after),
        notation.tenths(flip.confidence_after),
    )


def what_happened(flip: Flip) -> str:
    """Return a flip in a word or two."""
    if flip.missed_disease:
        return "disease missed"
    return {"lost": "now wrong", "changed": "wrong both times", "gained": "now right"}[flip.kind]
