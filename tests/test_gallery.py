"""The pictures in the report: whose are kept, which are shown, and what a screen reader hears."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import pytest

from kvasir_prune.config.report import ReportConfig
from kvasir_prune.data.findings import LeakedPair
from kvasir_prune.evaluation.class_groups import ClassGroups
from kvasir_prune.evaluation.store import SplitLogits
from kvasir_prune.experiment.picturing import pictured
from kvasir_prune.report import html
from kvasir_prune.report.assessment import assess
from kvasir_prune.report.csv_tables import csv_tables
from kvasir_prune.report.schema import Record
from tests.record_example import listing, synthetic_record, with_results
from tests.test_report_rendering import Page

CLASSES = ["polyp", "cecum", "pylorus"]
CONFIG = ReportConfig(class_groups={"sick": ["polyp"]}, abnormal=["sick"])


def many_flips(healthy: int, missed: int) -> SplitLogits:
    """Landmarks confused for certain, then diseases missed by a narrow margin."""
    labels = np.repeat([1, 0], [healthy, missed])
    after = np.repeat([[0, 0, 9], [0, 0.5, 0]], [healthy, missed], axis=0)
    return SplitLogits(labels, 9 * np.eye(3, dtype=np.float32)[labels], after.astype(np.float32))


def record_of(logits: SplitLogits) -> Record:
    images = listing(len(logits.labels))
    found = assess(
        logits,
        CLASSES,
        images,
        CONFIG,
        earlier_margin=None,
        seed=0,
        where=Path("evaluation.h5"),
        replicates=20,
    )
    return with_results(synthetic_record(CLASSES), assessment=found)


def test_a_missed_disease_keeps_its_picture_however_unsure_the_network_is():
    logits, groups = many_flips(1100, 5), ClassGroups.of(CLASSES, CONFIG.class_groups, ["sick"])
    paths = listing(1105).paths
    kept = pictured(logits, paths, CLASSES, groups)
    assert len(kept) == 1000
    assert {flip.path for flip in kept[:5]} == {*paths[1100:]}
    assert not {flip.path for flip in pictured(logits, paths, CLASSES, None)} & {*paths[1100:]}


def test_the_page_shows_what_has_a_picture_and_counts_the_rest():
    logits = many_flips(1100, 5)
    record = record_of(logits)
    shown = [flip.path for flip in record.results.assessment.flips[:1000]]
    page = Page(html.render(record, {}, dict.fromkeys(shown, b"jpeg")))
    assert [image["alt"] for image in page.all("img")] == [f"Test image {path}" for path in shown]
    assert "Pictured: 1,000. Without a picture, in tables/flips.csv: 105 more." in page.text
    assert "The other 900 pictures, which a print leaves out" in page.text
    lines = csv.DictReader(io.StringIO(csv_tables(record)["flips"]))
    assert sum(1 for _ in lines) == 1105


def test_all_flips_pictured_leave_nothing_to_tell():
    record = record_of(many_flips(3, 2))
    pictures = {flip.path: b"jpeg" for flip in record.results.assessment.flips}
    page = Page(html.render(record, {}, pictures))
    assert len(page.all("img")) == 5
    assert "Pictured:" not in page.text
    assert "a print leaves out" not in page.text


@pytest.mark.parametrize("known", [("a.png", "b.png"), ("a.png",), ()])
def test_near_duplicates_stand_side_by_side_with_their_paths(known):
    pair = LeakedPair(
        path="a.png",
        split="test",
        label="polyp",
        other_path="b.png",
        other_split="train",
        other_label="cecum",
        correlation=0.97,
    )
    plain = synthetic_record(["a", "b"])
    check = plain.results.data_check.model_copy(update={"leaked_pairs": [pair]})
    page = Page(html.render(with_results(plain, data_check=check), {}, dict.fromkeys(known, b"x")))
    if len(known) < 2:
        assert page.all("img") == []
        assert "each test image beside its look-alike" not in page.text
        return
    alts = [image["alt"] for image in page.all("img")]
    assert alts == ["Test image a.png", "Training image b.png"]
    said = " ".join(page.text.split())
    assert "each test image beside its look-alike" in said
    assert "test: polyp a.png" in said
    assert "training: cecum b.png" in said
