"""Several runs side by side, against a comparison of their logits made independently."""

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from sklearn.metrics import confusion_matrix
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from kvasir_prune.evaluation import store
from kvasir_prune.evaluation.store import SplitLogits
from tests.cli_runs import Server, copy_of, reseal


def other_run(finished: Path, place: Path, seed: int, noise: float) -> Path:
    """A copy of a run whose pruned network answers a little differently."""
    place.mkdir()
    run = copy_of(finished, place)
    kept = store.read(run / "evaluation.h5")
    rng = np.random.default_rng(seed)
    changed = {
        name: SplitLogits(
            part.labels,
            part.before,
            part.after + noise * rng.normal(size=part.after.shape).astype("f4"),
        )
        for name, part in kept.splits.items()
    }
    store.write(run / "evaluation.h5", replace(kept, splits=changed))
    return run


@pytest.fixture(scope="module")
def made(finished: Path, tmp_path_factory: pytest.TempPathFactory, server: Server) -> Path:
    """Three finished runs whose pruned networks differ; not to be written."""
    place = tmp_path_factory.mktemp("made")
    (place / "first").mkdir()
    copy_of(finished, place / "first")
    for i in (1, 2):
        run = other_run(finished, place / f"other{i}", i, 0.4 * i)
        server.call("report", run, cwd=place).succeeded()
    return place


@pytest.fixture
def runs(made: Path, tmp_path: Path) -> list[Path]:
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    return [tmp_path / name / "run" for name in ("first", "other1", "other2")]


def answers(run: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return labels and what the pruned network calls the test images."""
    with h5py.File(run / "evaluation.h5") as file:
        test = file["test"]
        return test["labels"][()], test["after"][()].argmax(axis=1)


def lost_and_gained(first: np.ndarray, own: np.ndarray) -> tuple[int, int]:
    return int((first & ~own).sum()), int((~first & own).sum())


def bowkers(moved: np.ndarray) -> tuple[float, int]:
    """Return Bowker's statistic by its formula, and the pairs between which images moved."""
    pairs = [(moved[i, j], moved[j, i]) for i in range(len(moved)) for j in range(i)]
    terms = [(a - b) ** 2 / (a + b) for a, b in pairs if a + b]
    return sum(terms), len(terms)


def test_runs_are_compared_with_the_first_image_by_image(runs, tmp_path, server):
    done = server.call("report", *runs, "--output", "both", cwd=tmp_path).succeeded()
    assert done.out.split() == ["both/runs.html"]
    found = json.loads((tmp_path / "both" / "runs.json").read_text())["runs"]
    assert found[0]["against_first"] is None
    labels, named = answers(runs[0])
    p_values, p_of_classes = [], []
    for run, entry in zip(runs[1:], found[1:], strict=True):
        own, beside = answers(run)[1], entry["against_first"]["comparison"]
        accuracy = beside["overall"]["accuracy"]["difference"]["value"]
        assert accuracy == pytest.approx((own == labels).mean() - (named == labels).mean())
        lost, gained = lost_and_gained(named == labels, own == labels)
        assert (beside["mcnemar"]["lost"], beside["mcnemar"]["gained"]) == (lost, gained)
        p_values.append(mcnemar([[0, lost], [gained, 0]]).pvalue)
        assert beside["mcnemar"]["p"] == pytest.approx(p_values[-1])
        for k, one in enumerate(beside["classes"]):
            is_it, change = labels == k, one["metrics"]["sensitivity"]
            rates = [(answer[is_it] == k).mean() for answer in (named, own)]
            assert [change["before"]["value"], change["after"]["value"]] == pytest.approx(rates)
            assert change["difference"]["value"] == pytest.approx(rates[1] - rates[0])
            of_class = lost_and_gained(named[is_it] == k, own[is_it] == k)
            assert (one["mcnemar"]["lost"], one["mcnemar"]["gained"]) == of_class
            p_of_classes.append(mcnemar([[0, of_class[0]], [of_class[1], 0]]).pvalue)
        moved = confusion_matrix(named, own, labels=range(10))
        told = (beside["symmetry"]["statistic"], beside["symmetry"]["degrees_of_freedom"])
        assert told == pytest.approx(bowkers(moved))
    besides = [entry["against_first"]["comparison"] for entry in found[1:]]
    adjusted = multipletests(p_values, method="holm")[1]
    assert [one["mcnemar"]["p_holm"] for one in besides] == pytest.approx(adjusted)
    adjusted = multipletests(p_of_classes, method="holm")[1]
    told = [part["mcnemar"]["p_holm"] for one in besides for part in one["classes"]]
    assert told == pytest.approx(adjusted)
    for text in ((tmp_path / "both" / name).read_text() for name in ("runs.html", "runs.md")):
        assert "Images lost" in text
        assert all(str(run.parent.name) in text for run in runs)


def test_the_csv_files_hold_metrics_tests_and_verdicts_of_every_run(runs, tmp_path, server):
    server.call("report", *runs, "--output", "both", cwd=tmp_path).succeeded()
    found = json.loads((tmp_path / "both" / "runs.json").read_text())["runs"]
    lines = {
        name: list(csv.DictReader((tmp_path / "both" / f"runs_{name}.csv").open(newline="")))
        for name in ("metrics", "tests", "verdicts")
    }
    sides = [
        (entry["folder"], "itself before pruning", entry["record"]["results"]["assessment"])
        for entry in found
    ]
    sides += [(entry["folder"], "first run", entry["against_first"]) for entry in found[1:]]
    assert len(lines["verdicts"]) == 2 * len(sides)
    for run, beside, judged in sides:

        def line(table: str, run=run, beside=beside, **keys: str) -> dict[str, str]:
            wanted = {"run": run, "against": beside, **keys}
            (one,) = (one for one in lines[table] if wanted.items() <= one.items())
            return one

        comparison = judged["comparison"]
        metric = {"scope": "class", "name": "3", "metric": "sensitivity", "quantity": "difference"}
        expected = comparison["classes"][3]["metrics"]["sensitivity"]["difference"]["value"]
        assert float(line("metrics", **metric)["value"]) == expected
        p = line("tests", scope="all", test="mcnemar")["p"]
        assert float(p) == comparison["mcnemar"]["p"]
        for test, key in (("stuart-maxwell", "homogeneity"), ("bowker", "symmetry")):
            p = comparison[key]["p"]
            assert line("tests", test=test)["p"] == ("" if p is None else str(p))
        verdict = line("verdicts", metric="accuracy")
        low = comparison["overall"]["accuracy"]["difference"]["low"]
        assert (verdict["finding"] == "non-inferior") == (low > -0.05)
        assert float(verdict["margin"]) == 0.05


def test_runs_on_other_test_images_are_not_paired(runs, tmp_path, server):
    split = runs[1] / "split.csv"
    lines = split.read_text().splitlines(keepends=True)
    place = next(i for i, line in enumerate(lines) if line.endswith(",test\n"))
    path, _, rest = lines[place].split(",", 2)
    lines[place] = f"{path},{'0' * 64},{rest}"
    split.write_text("".join(lines))
    reseal(runs[1], split)
    server.call("report", *runs, "--output", "both", cwd=tmp_path).succeeded()
    found = json.loads((tmp_path / "both" / "runs.json").read_text())["runs"]
    assert found[1]["not_paired"] == "its test images are others"
    assert found[2]["not_paired"] is None
    page = (tmp_path / "both" / "runs.md").read_text()
    assert "its test images are others" in page
    beside, own = page.split("**Sensitivity of each class before and after each pruning**")
    lines = [[line for line in part.splitlines() if line[:4] == "| 3 "] for part in (beside, own)]
    assert [len(part) for part in lines] == [1, 3]  # alone it is tabled all the same
    assert str(runs[2]) in lines[0][0]


def test_a_run_of_another_seed_is_told_by_its_seed(runs, tmp_path, server):
    other, split = runs[1], runs[1] / "split.csv"
    split.write_text(split.read_text().replace(",test\n", ",train\n", 1))
    kept = store.read(other / "evaluation.h5")
    test, train = (vars(kept.splits[name]) for name in ("test", "train"))
    moved = {
        "test": SplitLogits(*(part[1:] for part in test.values())),
        "train": SplitLogits(*(np.concatenate([test[k][:1], part]) for k, part in train.items())),
    }
    store.write(other / "evaluation.h5", replace(kept, splits={**kept.splits, **moved}))
    written = other / "report" / "report.json"
    content = json.loads(written.read_text())
    content["provenance"]["seed"] = 7
    written.write_text(json.dumps(content))
    reseal(other, split)
    reseal(other, written)
    server.call("report", *runs[:2], "--output", "both", cwd=tmp_path).succeeded()
    found = json.loads((tmp_path / "both" / "runs.json").read_text())["runs"]
    told = "its test images are others (its seed is 7, that of the first 0)"
    assert found[1]["not_paired"] == told


@pytest.mark.parametrize(
    ("arguments", "option"),
    [
        (("a", "b", "--run-dir", "c"), "--run-dir"),
        (("a", "b", "--set", "seed=1"), "--set"),
        (("a", "--output", "c"), "--output"),
    ],
)
def test_an_option_that_would_be_ignored_is_refused(tmp_path, server, arguments, option):
    done = server.call("report", *arguments, cwd=tmp_path)
    assert done.code == 2
    assert option in done.err
    assert "several" in done.err


def test_a_run_without_a_report_and_a_foreign_folder_are_refused(runs, tmp_path, server):
    shutil.rmtree(runs[1] / "report")
    refused = server.call("report", *runs, "--output", "both", cwd=tmp_path)
    refused.refused("no report", "report.json", "kvasir-prune run")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("precious")
    refused = server.call("report", runs[0], runs[2], "--output", "mine", cwd=tmp_path)
    refused.refused("holds other files", "notes.txt", "--output")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["notes.txt"]


@pytest.mark.parametrize("name", ["report/report.json", "split.csv", "evaluation.h5"])
def test_a_file_that_is_not_the_runs_own_is_refused(runs, tmp_path, server, name):
    path = runs[1] / name
    if path.suffix == ".h5":
        kept = store.read(path)
        store.write(path, replace(kept, origin={**kept.origin, "split": "0" * 64}))
    else:
        path.write_bytes(path.read_bytes().replace(b"1", b"2", 1))
    refused = server.call("report", *runs, "--output", "both", cwd=tmp_path)
    refused.refused(path.name)
    assert not (tmp_path / "both").exists()


def test_what_a_killed_comparison_left_does_not_block_the_next(runs, tmp_path, server):
    (tmp_path / "both").mkdir()
    (tmp_path / "both" / ".runs.4242.partial.html").write_text("half")
    server.call("report", *runs, "--output", "both", cwd=tmp_path).succeeded()
    names = {path.name for path in (tmp_path / "both").iterdir()}
    csv_files = {f"runs_{name}.csv" for name in ("metrics", "tests", "verdicts")}
    assert names == {"runs.html", "runs.md", "runs.json"} | csv_files
