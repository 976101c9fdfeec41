"""Reports of run folders with odd, damaged or missing files: a report or a sentence, always."""

from __future__ import annotations

import csv
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from kvasir_prune import report
from kvasir_prune.errors import ConfigError, LedgerError, RunFolderError
from kvasir_prune.experiment import reporting
from kvasir_prune.experiment.folder import RunFolder
from kvasir_prune.ledger import HDF5Ledger
from kvasir_prune.report.schema import Record
from tests.cli_runs import Outcome, Server, copy_of, replace, reseal, rewriting, write_config

SPLITS = ("train", "validation", "test")
MOMENTS = ("before", "after")

Change = Callable[[h5py.File], None]


def reported(run: Path, server: Server) -> Outcome:
    return server.call("report", run, cwd=run.parent)


def told(run: Path) -> dict[str, str]:
    """Return the text of every rendering of a report, pictures left out."""
    texts = {
        path.name: path.read_text()
        for path in (run / "report").rglob("*")
        if path.suffix in (".html", ".md", ".csv", ".svg")
    }
    texts["report.html"] = re.sub(r"base64,[^\"]+", "", texts["report.html"])
    return texts


def assert_reported(run: Path, server: Server) -> Record:
    """Assert that there is a new report without a NaN in it; return what it says."""
    (run / "report" / "report.json").unlink()
    reported(run, server).succeeded()
    for name, text in told(run).items():
        assert not re.search(r"\b(nan|inf|infinity)\b", text, re.IGNORECASE), name
    return report.read(run)


def assert_refused(run: Path, server: Server, *facts: object) -> None:
    """Assert that a report is refused in words, and the one that was there is left."""
    before = report.read(run)
    reported(run, server).refused(*facts)
    assert report.read(run) == before


def of_few_classes(number: int) -> Change:
    """A network that knows so many classes only."""

    def change(file: h5py.File) -> None:
        file.attrs["classes"] = json.dumps([f"class {k}" for k in range(number)])
        for split in SPLITS:
            replace(file, f"{split}/labels", file[split]["labels"][()] % number)
            for moment in MOMENTS:
                replace(file, f"{split}/{moment}", file[split][moment][()][:, :number])

    return change


def labelled(change: Callable[[np.ndarray], np.ndarray]) -> Change:
    """Images of other classes."""

    def rewrite(file: h5py.File) -> None:
        for split in SPLITS:
            file[split]["labels"][...] = change(file[split]["labels"][()])

    return rewrite


def answered(sign: float) -> Change:
    """All images right, before and after; or none."""

    def change(file: h5py.File) -> None:
        for split in SPLITS:
            for moment in MOMENTS:
                file[split][moment][...] = sign * 9 * np.eye(10)[file[split]["labels"][()]]

    return change


REPORTED: dict[str, tuple[Change, float | None]] = {
    "one class": (of_few_classes(1), 1.0),
    "two classes": (of_few_classes(2), None),
    "images of one class": (labelled(np.zeros_like), None),
    "a class without images": (labelled(lambda k: np.where(k == 3, 4, k)), None),
    "all right": (answered(1), 1.0),
    "all wrong": (answered(-1), 0.0),
}
"""What is changed, and the accuracy that comes of it where that is known."""


@pytest.mark.parametrize("case", REPORTED)
def test_odd_logits_are_reported(finished: Path, tmp_path: Path, server: Server, case: str) -> None:
    run = copy_of(finished, tmp_path)
    change, accuracy = REPORTED[case]
    with rewriting(run / "evaluation.h5") as file:
        change(file)
        labels, classes = file["test/labels"][()], json.loads(file.attrs["classes"])
    results = assert_reported(run, server).results
    assert results.classes == classes
    counts = np.bincount(labels, minlength=len(classes)).tolist()
    assert results.splits["test"].images_per_class == counts
    assert results.assessment is not None
    for one, images in zip(results.assessment.comparison.classes, counts, strict=True):
        assert (one.metrics["sensitivity"].after.value is None) == (images == 0)
    if accuracy is not None:
        found = {results.splits[s].after.accuracy for s in SPLITS}
        assert found == {accuracy}
        assert results.assessment.comparison.overall["accuracy"].after.value == accuracy


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("split", SPLITS)
def test_answers_that_are_no_numbers_are_told_with_split_and_image(
    finished: Path, tmp_path: Path, server: Server, split: str, moment: str
) -> None:
    run = copy_of(finished, tmp_path)
    with rewriting(run / "evaluation.h5") as file:
        wrong = {4: np.nan, 2: -np.inf, 3: np.inf}
        for image, value in wrong.items():
            file[split][moment][image, 1] = value
        # Both are finite, but no loss in float32 is as large as what lies between them.
        label = int(file[split]["labels"][5])
        file[split][moment][5, label] = -3e38
        file[split][moment][5, 1 - min(label, 1)] = 3e38
        images = len(file[split]["labels"])
    with (run / "split.csv").open(newline="") as lines:
        paths = [line["path"] for line in csv.DictReader(lines) if line["split"] == split]
    facts = f"4 of {images} {split} images {moment} pruning, first for {paths[2]}"
    assert_refused(run, server, "does not answer with numbers", facts, "evaluation.h5")


def without(name: str) -> Change:
    def change(file: h5py.File) -> None:
        del file[name]

    return change


def with_array(name: str, change: Callable[[np.ndarray], np.ndarray]) -> Change:
    return lambda file: replace(file, name, change(file[name][()]))


def with_images(split: str, kept: slice) -> Change:
    def change(file: h5py.File) -> None:
        for part in ("labels", *MOMENTS):
            replace(file, f"{split}/{part}", file[split][part][kept])

    return change


NONE = slice(0)


def without_attribute(file: h5py.File) -> None:
    del file.attrs["classes"]


REFUSED: dict[str, tuple[Change, tuple[str, ...]]] = {
    "no test images": (with_images("test", NONE), ("different images", "0 test images")),
    "no validation images": (
        with_images("validation", NONE),
        ("different images", "0 validation images"),
    ),
    "one image fewer": (
        with_images("train", slice(1, None)),
        ("different images", "279 train images", "280, as in split.csv"),
    ),
    "no test split": (without("test"), ("evaluation.h5/test", "no labels, no before, no after")),
    "no validation labels": (without("validation/labels"), ("evaluation.h5/validation",)),
    "label 10 of 10 classes": (
        with_array("train/labels", lambda k: np.where(np.arange(len(k)) == 7, 10, k)),
        ("evaluation.h5/train", "label 10 of image 7", "0 to 9"),
    ),
    "label -1": (
        with_array("test/labels", lambda k: np.where(np.arange(len(k)) == 7, -1, k)),
        ("evaluation.h5/test", "label -1 of image 7"),
    ),
    "fewer columns after than before": (
        with_array("test/after", lambda z: z[:, :9]),
        ("evaluation.h5/test", "after float32 (60, 9)", "after float32 (60, 10)"),
    ),
    "fewer logits than labels": (with_array("test/after", lambda z: z[:-1]), ("(59, 10)",)),
    "logits in a row": (with_array("test/before", np.ravel), ("(600,)",)),
    "labels that are fractions": (
        with_array("test/labels", lambda k: k.astype(np.float64)),
        ("labels float64 (60,)",),
    ),
    "no names of classes": (without_attribute, ("evaluation.h5", "classes")),
}


@pytest.mark.parametrize("case", REFUSED)
def test_logits_that_do_not_fit_are_told(
    finished: Path, tmp_path: Path, server: Server, case: str
) -> None:
    run = copy_of(finished, tmp_path)
    change, facts = REFUSED[case]
    with rewriting(run / "evaluation.h5") as file:
        change(file)
    assert_refused(run, server, "delete evaluation.h5", *facts)


@pytest.mark.parametrize("split", ["validation", "test"])
def test_a_split_that_never_had_images_is_absent_from_the_report(
    finished: Path, tmp_path: Path, server: Server, split: str
) -> None:
    run = copy_of(finished, tmp_path)
    with rewriting(run / "evaluation.h5") as file:
        with_images(split, NONE)(file)
    listed = (run / "split.csv").read_text().splitlines(keepends=True)
    kept = [line for line in listed if not line.endswith(f",{split}\n")]
    assert 0 < len(kept) < len(listed)
    (run / "split.csv").write_text("".join(kept))
    reseal(run, run / "split.csv")
    results = assert_reported(run, server).results
    assert set(results.splits) == {*SPLITS} - {split}
    assert (results.assessment is None) == (split == "test")
    assert ("There is no test set." in told(run)["report.html"]) == (split == "test")
    if split == "test":
        shutil.copytree(run, tmp_path / "again")
        server.call("report", "run", "again", "--output", "both", cwd=tmp_path).succeeded()
        both = json.loads((tmp_path / "both" / "runs.json").read_text())["runs"]
        assert [one["not_paired"] for one in both] == [None, "there are no test images"]


def test_a_history_with_what_is_no_number_is_told(
    finished: Path, tmp_path: Path, server: Server
) -> None:
    run = copy_of(finished, tmp_path)
    history = run / "training" / "history.csv"
    head, first, second, *rest = history.read_text().splitlines()
    place = head.split(",").index("validation_loss")
    values = second.split(",")
    values[place] = "nan"
    history.write_text("\n".join([head, first, ",".join(values), *rest]) + "\n")
    reseal(run, history)
    assert_refused(run, server, history.name, "validation_loss is nan in epoch 2")


def test_an_evolution_with_what_is_no_number_is_told(
    finished: Path, tmp_path: Path, server: Server
) -> None:
    run = copy_of(finished, tmp_path)
    HDF5Ledger(run / "pruning.h5").record_evolution([(0, -1, "validation", np.nan, 0.5)])
    facts = "loss nan, accuracy 0.5 on the validation images after 0 removals"
    assert_refused(run, server, "pruning.h5", facts)


NEEDED = (
    "run.json",
    "config.yaml",
    "data.json",
    "split.csv",
    "data_check.json",
    "training/history.csv",
    "importance.h5",
    "pruning.h5",
    "evaluation.h5",
    "cost.json",
    "latency.json",
)


@pytest.mark.parametrize("name", NEEDED)
def test_a_report_names_the_file_it_lacks(finished: Path, tmp_path: Path, name: str) -> None:
    run = copy_of(finished, tmp_path)
    before = report.read(run)
    (run / name).unlink()
    with pytest.raises((RunFolderError, LedgerError, ConfigError), match=Path(name).name):
        reporting.report(RunFolder(run))
    assert report.read(run) == before


def test_a_report_needs_neither_networks_nor_pictures(finished: Path, tmp_path: Path) -> None:
    run = copy_of(finished, tmp_path)
    assert "data:image/jpeg" in (run / "report" / "report.html").read_text()
    before = report.read(run)
    for name in ("model.keras", "pruned.keras", "thumbnails.h5", "training/checkpoint.h5"):
        (run / name).unlink()
    reporting.report(RunFolder(run))
    assert report.read(run) == before
    assert "data:image/jpeg" not in (run / "report" / "report.html").read_text()


def test_groups_of_classes_that_the_logits_do_not_have_are_told(
    finished: Path, tmp_path: Path, server: Server
) -> None:
    run = copy_of(finished, tmp_path)
    write_config(tmp_path, {"report.class_groups": {"even": ["0", "8"]}})
    with rewriting(run / "evaluation.h5") as file:
        of_few_classes(2)(file)
    done = server.call("report", "config.yaml", "--run-dir", "run", cwd=tmp_path)
    done.refused("report.class_groups.even")
