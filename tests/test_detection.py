"""Disease or not: the comparison with all diseases as one class, and all else as another."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix, recall_score

from kvasir_prune.config.report import ReportConfig
from kvasir_prune.evaluation.store import SplitLogits
from kvasir_prune.report import html, markdown
from kvasir_prune.report.assessment import assess
from kvasir_prune.report.conclusions import conclusions
from kvasir_prune.report.csv_tables import csv_tables
from kvasir_prune.report.schema import Assessment
from tests.record_example import listing, synthetic_record, with_results

NAMES = ["polyp", "colitis", "cecum", "pylorus"]
GROUPS = {"neoplastic": ["polyp"], "inflammatory": ["colitis"]}


def assessed(labels: np.ndarray, before: np.ndarray, after: np.ndarray, **config) -> Assessment:
    certain = 4 * np.eye(len(NAMES), dtype=np.float32)
    found = assess(
        SplitLogits(labels, certain[before], certain[after]),
        NAMES,
        listing(len(labels)),
        ReportConfig(**config),
        earlier_margin=None,
        seed=0,
        where=Path("evaluation.h5"),
        replicates=50,
    )
    assert found is not None
    return found


def test_only_missed_diseases_and_false_alarms_count():
    """All right before; then a polyp is called colitis, one cecum, a cecum pylorus, one polyp."""
    labels = np.array([0, 0, 0, 1, 2, 2, 3])
    after = np.array([1, 2, 0, 1, 3, 0, 3])
    found = assessed(labels, labels, after, class_groups=GROUPS, abnormal=list(GROUPS))
    detection = found.detection
    assert detection.groups == ["neoplastic", "inflammatory"]
    assert (detection.before, detection.after) == ([[4, 0], [0, 3]], [[3, 1], [1, 2]])
    assert sum(flip.missed_disease for flip in found.flips) == 1
    in_groups = {one.name: one.mcnemar.lost for one in found.grouped.comparison.classes}
    assert in_groups["neoplastic"] == 2  # there the confusion of two diseases is a loss too


def test_sensitivity_and_specificity_are_scikit_learns():
    rng = np.random.default_rng(3)
    labels, before, after = rng.integers(0, 4, (3, 200))
    found = assessed(labels, before, after, class_groups=GROUPS, abnormal=list(GROUPS)).detection
    sick, named = labels < 2, {"before": before < 2, "after": after < 2}
    for positive, one in zip((True, False), found.comparison.classes, strict=True):
        change = one.metrics["sensitivity"]
        rates = {
            moment: recall_score(sick, called, pos_label=positive)
            for moment, called in named.items()
        }
        assert change.before.value == pytest.approx(rates["before"])
        assert change.after.value == pytest.approx(rates["after"])
        assert change.difference.value == pytest.approx(rates["after"] - rates["before"])
        assert change.difference.low < change.difference.value < change.difference.high
    for moment, called in named.items():
        expected = confusion_matrix(sick, called, labels=[True, False]).tolist()
        assert getattr(found, moment) == expected


@pytest.mark.parametrize(
    ("groups", "abnormal"),
    [({}, []), (GROUPS, []), ({"all": NAMES}, ["all"])],
    ids=["no groups", "none abnormal", "all abnormal"],
)
def test_where_there_is_nothing_to_tell_apart_nothing_is_said(groups, abnormal):
    labels = np.array([0, 1, 2, 3])
    found = assessed(labels, labels, labels[::-1], class_groups=groups, abnormal=abnormal)
    assert found.detection is None
    record = with_results(synthetic_record(NAMES), assessment=found)
    assert "Is disease missed?" not in [c.question for c in conclusions(record)]
    assert 'id="table-detection"' not in html.render(record, {})


def test_the_report_prints_both_tables_and_the_csv_has_the_rates():
    labels = np.repeat([0, 1, 2, 3], 10)
    after = labels.copy()
    after[:3], after[25] = 2, 1
    found = assessed(labels, labels, after, class_groups=GROUPS, abnormal=list(GROUPS))
    record = with_results(synthetic_record(NAMES), assessment=found)
    lines = [line.split("|")[1:-1] for line in markdown.render(record, {}).splitlines()]
    cells = {line[0].strip(): [cell.strip() for cell in line[1:]] for line in lines if line}
    assert cells["Disease"] == ["20", "0", "17", "3"]
    assert cells["No disease"] == ["0", "20", "1", "19"]
    assert cells["Specificity"][0] == "20"
    assert cells["Specificity"][2].startswith("95.0 (")
    assert cells["Specificity"][4:6] == ["1", "0"]
    said = next(c.answer for c in conclusions(record) if c.question == "Is disease missed?")
    assert "Of 20 images with disease (groups neoplastic and inflammatory), 100.0% are" in said
    assert "Of 20 images without disease, 100.0% are called none" in said
    assert said.endswith("missed after it: 3 images.")
    rows = csv.DictReader(io.StringIO(csv_tables(record)["metrics"]))
    rates = {
        row["name"]: float(row["value"])
        for row in rows
        if (row["scope"], row["metric"], row["quantity"]) == ("detection", "sensitivity", "after")
    }
    assert rates == {"disease": 17 / 20, "no disease": 19 / 20}
