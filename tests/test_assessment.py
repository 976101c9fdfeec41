"""The assessment of odd test sets: a report or a sentence, never a traceback."""

import csv
import functools
import io
import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from kvasir_prune import report
from kvasir_prune.config.report import ReportConfig
from kvasir_prune.data.listing import Listing
from kvasir_prune.errors import ConfigError, RunFolderError
from kvasir_prune.evaluation.class_groups import ClassGroups
from kvasir_prune.evaluation.intervals import Estimate
from kvasir_prune.evaluation.non_inferiority import judge
from kvasir_prune.evaluation.store import SplitLogits
from kvasir_prune.report import html, markdown
from kvasir_prune.report.assessment import assess
from kvasir_prune.report.conclusions import conclusions
from kvasir_prune.report.csv_tables import csv_tables
from kvasir_prune.report.schema import Measured, Record
from kvasir_prune.report.side_by_side import SideBySide
from kvasir_prune.report.turning_point import place_of_turn, turning_point
from tests.record_example import listing, synthetic_record, thesis_record, with_results

WHERE = Path("evaluation.h5")


def logits_of(labels: np.ndarray, classes: int, kind: str, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    right = 9 * np.eye(classes)[labels]
    return {
        "noise": rng.normal(size=right.shape),
        "skilled": right / 4 + rng.normal(size=right.shape),
        "all right": right,
        "all wrong": -right,
        "always the first": np.tile(9 * np.eye(classes)[0], (len(labels), 1)),
        "no opinion": np.zeros(right.shape),
        "certain beyond float32": 1e30 * right,
    }[kind].astype(np.float32)


@functools.cache
def two_classes() -> Record:
    """Return a record that examples put their own assessment into."""
    return synthetic_record(["a", "b"])


KINDS = st.sampled_from(
    [
        "noise",
        "skilled",
        "all right",
        "all wrong",
        "always the first",
        "no opinion",
        "certain beyond float32",
    ]
)


@st.composite
def odd_test_sets(draw):
    classes = draw(st.integers(1, 5))
    present = draw(st.lists(st.integers(0, classes - 1), min_size=1, max_size=25))
    labels = np.array(present, np.int64)
    seed = draw(st.integers(0, 10**6))
    before, after = (logits_of(labels, classes, draw(KINDS), seed + i) for i in (0, 1))
    groups = draw(st.sampled_from(["none", "pairs", "one"]))
    return classes, SplitLogits(labels, before, after), groups


@given(odd_test_sets())
@settings(max_examples=25)
def test_odd_test_sets_are_assessed_and_rendered(case):
    classes, logits, grouping = case
    names = [f"c{k}" for k in range(classes)]
    found = listing(len(logits.labels))
    if grouping != "none":
        group = [
            f"g{place // 2 if grouping == 'pairs' else 0}" for place in range(len(found.paths))
        ]
        found = Listing(found.paths, found.digests, found.classes, tuple(group), found.splits)
    config = ReportConfig(
        non_inferiority_margin=0.05, class_groups={"sick": names[:1]}, abnormal=["sick"]
    )
    assessment = assess(
        logits, names, found, config, earlier_margin=None, seed=0, where=WHERE, replicates=21
    )
    whole = assessment.comparison
    for changes in (whole.overall, *(one.metrics for one in whole.classes)):
        for change in changes.values():
            for estimate in (change.before, change.after, change.difference):
                known = [x for x in (estimate.low, estimate.value, estimate.high) if x is not None]
                assert np.isfinite(known).all()
    assert whole.mcnemar.lost + whole.mcnemar.gained <= len(assessment.flips)
    record = with_results(two_classes(), assessment=assessment)
    assert Record.model_validate_json(record.model_dump_json()) == record
    for text in (
        html.render(record, {}),
        markdown.render(record, {}),
        *csv_tables(record).values(),
    ):
        assert not re.search(r"\bnan\b", text, re.IGNORECASE)
    assert all(c.answer for c in conclusions(record))


def test_no_test_images_give_no_assessment_and_still_a_report():
    empty = SplitLogits(np.zeros(0, np.int64), *(np.zeros((0, 2), np.float32),) * 2)
    assert (
        assess(
            empty, ["a", "b"], listing(0), ReportConfig(), earlier_margin=None, seed=0, where=WHERE
        )
        is None
    )
    record = with_results(synthetic_record(["a", "b"]), assessment=None)
    for text in (html.render(record, {}), markdown.render(record, {})):
        assert "More than noise?" not in text
        assert "Did the network become worse?" not in text
    assert "flips" not in csv_tables(record)


def test_a_group_of_unknown_classes_names_all_of_them():
    logits = SplitLogits(np.array([0, 1]), *(np.eye(2, dtype=np.float32),) * 2)
    config = ReportConfig(class_groups={"sick": ["a", "x"], "well": ["y"]})
    with pytest.raises(ConfigError) as told:
        assess(logits, ["a", "b"], listing(2), config, earlier_margin=None, seed=0, where=WHERE)
    assert [fault.path for fault in told.value.faults] == [
        "report.class_groups.sick",
        "report.class_groups.well",
    ]


def test_classes_in_no_group_are_a_group_of_their_own():
    groups = ClassGroups.of(["a", "b", "c", "d"], {"sick": ["c"], "well": ["a"]}, ["sick"])
    assert groups.names == ("sick", "well", "other")
    assert groups.group_of == (1, 2, 0, 2)
    assert [groups.is_abnormal(k) for k in range(4)] == [False, False, True, False]


@pytest.mark.parametrize(
    ("low", "high", "finding"),
    [
        (-0.019, 0.01, "non-inferior"),
        (-0.02, 0.01, "not shown"),
        (-0.05, -0.021, "inferior"),
        (-0.05, -0.02, "not shown"),
        (None, None, "not assessed"),
    ],
)
def test_the_verdict_is_by_the_whole_interval(low, high, finding):
    assert judge(Estimate(0.0, low, high), 0.02).finding == finding


def test_missed_diseases_come_first_and_a_confusion_of_landmarks_is_none():
    """Before all right; then one landmark for another, a disease for a landmark, and back."""
    names = ["polyp", "cecum", "pylorus"]
    labels = np.array([1, 0, 1, 0])
    named = np.array([2, 1, 0, 0])
    strong = 4 * np.eye(3, dtype=np.float32)
    logits = SplitLogits(labels, strong[labels], strong[named])
    config = ReportConfig(class_groups={"sick": ["polyp"]}, abnormal=["sick"])
    found = assess(logits, names, listing(4), config, earlier_margin=None, seed=0, where=WHERE)
    assert [(flip.image, flip.missed_disease) for flip in found.flips] == [
        (1, True),
        (0, False),
        (2, False),
    ]
    sick = found.grouped.comparison.classes[0]
    assert (sick.mcnemar.lost, sick.mcnemar.gained) == (1, 0)
    other = found.grouped.comparison.classes[1]
    assert other.metrics["sensitivity"].after.value == 0.5  # cecum for pylorus counts as right


def test_where_overfitting_began_is_the_last_lowest_test_loss():
    record = thesis_record()
    points = record.results.evolution
    turn = turning_point(points, "validation")
    lowest = min(point.test.loss for point in points)
    assert turn.test_then.loss == lowest
    assert turn.removed + turn.removed_after == points[-1].removed
    assert turn.judged_at_the_end < turn.judged_then
    falling = [p for p in points if p.removed <= turn.removed]
    assert turning_point(falling, "validation") is None
    assert turning_point(points, "test") is None
    assert turning_point(points, None) is None


@pytest.mark.parametrize(
    ("test", "judged", "place"),
    [
        ([0.5, 0.3, 0.3, 0.4], [0.5, 0.4, 0.35, 0.2], 2),  # the last of the lowest
        ([0.0, 0.0, 0.1], [0.3, 0.2, 0.1], 1),
        ([0.0, 0.0, 0.0], [0.3, 0.2, 0.1], None),  # nothing rose
        ([0.0, 0.1], [0.2, 0.2], None),  # nothing fell
        ([0.4, 0.3, 0.2], [0.3, 0.2, 0.1], None),  # lowest at the end
        ([0.4, 0.4, 0.402], [0.3, 0.2, 0.1], None),  # less than a hundredth
        ([math.nan, 0.3, 0.4], [0.3, 0.2, 0.1], None),
        ([0.5, 0.3, math.inf], [0.3, 0.2, 0.1], None),
        ([0.5, 0.3, 0.4], [0.3, 0.2, math.nan], None),
        ([0.3], [0.3], None),
        ([], [], None),
    ],
)
def test_a_turn_has_a_rise_behind_it_and_numbers_all_along(test, judged, place):
    assert place_of_turn(test, judged) == place


def test_csv_tables_hold_the_record_to_the_last_digit():
    record = thesis_record()
    tables = {
        name: list(csv.DictReader(io.StringIO(text))) for name, text in csv_tables(record).items()
    }
    judged = record.results.assessment.comparison
    found = {
        (line["scope"], line["name"], line["metric"], line["quantity"]): line
        for line in tables["metrics"]
    }
    for name, change in judged.overall.items():
        assert float(found["all", "", name, "after"]["value"]) == change.after.value
    for one in judged.classes:
        line = found["class", one.name, "sensitivity", "difference"]
        assert float(line["low"]) == one.metrics["sensitivity"].difference.low
    assert len(tables["flips"]) == len(record.results.assessment.flips)
    images = sum(int(line["images"]) for line in tables["confusion"] if line["split"] == "test")
    assert images == 2 * record.results.splits["test"].images


def test_the_published_schema_is_that_of_this_version():
    """Written by `python -m kvasir_prune.report > docs/report.schema.json`."""
    published = Path(__file__).parents[1] / "docs" / "report.schema.json"
    assert json.loads(published.read_text()) == Record.model_json_schema()


@pytest.mark.parametrize("version", [3, 5, "4", None])
def test_a_report_of_another_version_is_refused_by_name(tmp_path, version):
    record = json.loads(synthetic_record(["a", "b"]).model_dump_json())
    assert record["schema_version"] == 4
    (tmp_path / "report").mkdir()
    path = tmp_path / "report" / "report.json"
    path.write_text(json.dumps({**record, "schema_version": version, "new key": 1}))
    with pytest.raises(RunFolderError) as told:
        report.read(tmp_path)
    assert told.value.got == f"schema version {version!r}"
    assert told.value.expected == "schema version 4"
    assert told.value.where == path


def test_a_report_with_a_wrong_key_is_refused_with_the_key(tmp_path):
    record = json.loads(synthetic_record(["a", "b"]).model_dump_json())
    record["results"]["training"]["best_epoch"] = "first"
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "report.json").write_text(json.dumps(record))
    with pytest.raises(RunFolderError, match=r"results\.training\.best_epoch: .*integer"):
        report.read(tmp_path)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_record_takes_nothing_that_its_own_reader_would_refuse(value):
    with pytest.raises(ValidationError, match="finite number"):
        Measured(loss=value, accuracy=0.5)


def test_a_comparison_of_runs_has_one_version():
    assert json.loads(SideBySide(runs=[]).model_dump_json()) == {"schema_version": 2, "runs": []}
    with pytest.raises(ValidationError, match="schema_version"):
        SideBySide.model_validate({"schema_version": 1, "runs": []})


def test_a_notebook_reads_a_report_and_draws_its_figures(tmp_path):
    record = synthetic_record(["a", "b"])
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "report.json").write_text(record.model_dump_json())
    assert report.read(tmp_path) == record
    assert set(report.draw(record)) >= {"evolution_loss_all", "reliability", "nodes_per_layer"}
    with pytest.raises(RunFolderError, match="no report that this version reads"):
        report.read(tmp_path / "elsewhere")
