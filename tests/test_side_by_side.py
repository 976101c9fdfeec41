"""Several runs side by side, against a comparison of their logits made independently."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
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


@pytest.fixture
def runs(finished: Path, tmp_path: Path, server: Server) -> list[Path]:
    (tmp_path / "first").mkdir()
    found = [copy_of(finished, tmp_path / "first")]
    found += [other_run(finished, tmp_path / f"other{i}", i, 0.4 * i) for i in (1, 2)]
    for run in found[1:]:
        server.call("report", run, cwd=tmp_path).succeeded()
    return found


def right(run: Path) -> np.ndarray:
    with h5py.File(run / "evaluation.h5") as file:
        test = file["test"]
        return test["after"][()].argmax(axis=1) == test["labels"][()]


def test_runs_are_compared_with_the_first_image_by_image(runs, tmp_path, server):
    done = server.call("report", *runs, "--output", "both", cwd=tmp_path).succeeded()
    assert done.out.split() == ["both/runs.html"]
    found = json.loads((tmp_path / "both" / "runs.json").read_text())["runs"]
    assert found[0]["against_first"] is None
    first = right(runs[0])
    p_values = []
    for run, entry in zip(runs[1:], found[1:], strict=True):
        own, beside = right(run), entry["against_first"]
        accuracy = beside["overall"]["accuracy"]
        assert accuracy["difference"]["value"] == pytest.approx(own.mean() - first.mean())
        lost, gained = int((first & ~own).sum()), int((~first & own).sum())
        assert (beside["mcnemar"]["lost"], beside["mcnemar"]["gained"]) == (lost, gained)
        p_values.append(mcnemar([[0, lost], [gained, 0]]).pvalue)
        assert beside["mcnemar"]["p"] == pytest.approx(p_values[-1])
    adjusted = multipletests(p_values, method="holm")[1]
    assert [e["against_first"]["mcnemar"]["p_holm"] for e in found[1:]] == pytest.approx(adjusted)
    for text in ((tmp_path / "both" / name).read_text() for name in ("runs.html", "runs.md")):
        assert "Images lost" in text
        assert all(str(run.parent.name) in text for run in runs)


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
    assert "its test images are others" in (tmp_path / "both" / "runs.html").read_text()


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
    assert names == {"runs.html", "runs.md", "runs.json"}
