"""The numbers of report.json, computed again from the files of the run by other libraries."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import sklearn.metrics
from scipy.special import softmax
from scipy.stats import binom, chi2
from statsmodels.stats.contingency_tables import SquareTable, mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from tests.cli_runs import Server, arrays_of, copy_of, write_config

EVEN = ["0", "2", "4", "6", "8"]
REPORT = {
    "report.non_inferiority_margin": 0.05,
    "report.class_groups": {"even": EVEN, "odd": ["1", "3", "5", "7", "9"]},
    "report.abnormal": ["even"],
}


class Saved:
    """What a run folder holds, read without this package."""

    def __init__(self, run: Path) -> None:
        self.run = run
        record = json.loads((run / "report" / "report.json").read_text())
        self.results: dict[str, Any] = record["results"]
        with h5py.File(run / "evaluation.h5") as file:
            self.labels = {name: file[name]["labels"][:] for name in file}
            self.logits = {
                (name, moment): file[name][moment][:].astype(np.float64)
                for name in file
                for moment in ("before", "after")
            }

    def probabilities(self, split: str, moment: str) -> np.ndarray:
        return softmax(self.logits[split, moment], axis=1)

    def predicted(self, split: str, moment: str) -> np.ndarray:
        return self.logits[split, moment].argmax(axis=1)


@pytest.fixture(scope="module")
def saved(finished: Path, server: Server, tmp_path_factory: pytest.TempPathFactory) -> Saved:
    """Give a finished run whose report has groups of classes and a margin."""
    place = tmp_path_factory.mktemp("numbers")
    run = copy_of(finished, place)
    write_config(place, REPORT)
    server.call("report", "config.yaml", "--run-dir", "run", cwd=place).succeeded()
    return Saved(run)


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_losses_accuracies_and_matrices_are_those_of_the_logits(saved: Saved, split: str):
    truth, shown = saved.labels[split], saved.results["splits"][split]
    assert shown["images_per_class"] == np.bincount(truth, minlength=10).tolist()
    matrices = {}
    for moment in ("before", "after"):
        named, found = saved.predicted(split, moment), shown[moment]
        loss = sklearn.metrics.log_loss(truth, saved.probabilities(split, moment), labels=range(10))
        assert found["loss"] == pytest.approx(loss, rel=1e-6)
        assert found["accuracy"] == sklearn.metrics.accuracy_score(truth, named)
        matrices[moment] = sklearn.metrics.confusion_matrix(truth, named, labels=range(10))
        assert found["confusion_matrix"] == matrices[moment].tolist()
        recalls = sklearn.metrics.recall_score(truth, named, average=None, labels=range(10))
        assert found["class_accuracy"] == pytest.approx(recalls.tolist())
    delta = (matrices["after"] - matrices["before"]) / matrices["before"].sum(axis=1)[:, None]
    assert np.allclose(shown["confusion_delta_percent"], 100 * delta)


def assert_overall(shown: dict[str, Any], truth: np.ndarray, before: Any, after: Any) -> None:
    """Compare the overall metrics; `before` and `after` are predictions and probabilities."""
    values = []
    for moment, (named, probabilities) in (("before", before), ("after", after)):
        classes = probabilities.shape[1]
        one_hot = np.eye(classes)[truth]
        roc = (
            sklearn.metrics.roc_auc_score(truth, probabilities, multi_class="ovr")
            if classes > 2
            else sklearn.metrics.roc_auc_score(truth, probabilities[:, 1])
        )
        confidence = probabilities[np.arange(len(truth)), named]
        bins = np.minimum((confidence * 15).astype(int), 14)
        gaps = [
            abs((named[bins == b] == truth[bins == b]).mean() - confidence[bins == b].mean())
            * (bins == b).mean()
            for b in np.unique(bins)
        ]
        expected = {
            "accuracy": sklearn.metrics.accuracy_score(truth, named),
            "balanced_accuracy": sklearn.metrics.balanced_accuracy_score(truth, named),
            "macro_f1": sklearn.metrics.f1_score(truth, named, average="macro"),
            "mcc": sklearn.metrics.matthews_corrcoef(truth, named),
            "kappa": sklearn.metrics.cohen_kappa_score(truth, named),
            "auroc": roc,
            "log_loss": sklearn.metrics.log_loss(truth, probabilities),
            "brier": ((probabilities - one_hot) ** 2).sum(axis=1).mean(),
            "ece": sum(gaps),
        }
        found = {name: shown[name][moment]["value"] for name in expected}
        assert found == pytest.approx(expected, rel=1e-6)
        right = int((named == truth).sum())
        low, high = proportion_confint(right, len(truth), method="wilson")
        interval = shown["accuracy"][moment]
        assert (interval["low"], interval["high"]) == pytest.approx((low, high))
        values.append(expected)
    for name, change in shown.items():
        difference = change["difference"]
        assert difference["value"] == pytest.approx(values[1][name] - values[0][name], abs=1e-6)
        if difference["low"] is not None:
            assert difference["low"] <= difference["value"] <= difference["high"]


def assert_classes(shown: list[Any], truth: np.ndarray, before: Any, after: Any) -> None:
    """Compare the metrics and tests of every class against the rest."""
    tests = []
    for k, one in enumerate(shown):
        assert one["images"] == (truth == k).sum()
        for moment, (named, probabilities) in (("before", before), ("after", after)):
            tn, fp, fn, tp = sklearn.metrics.confusion_matrix(truth == k, named == k).ravel()
            for metric, part, rest in (
                ("sensitivity", tp, fn),
                ("specificity", tn, fp),
                ("ppv", tp, fp),
                ("npv", tn, fn),
            ):
                found = one["metrics"][metric][moment]
                low, high = proportion_confint(part, part + rest, method="wilson")
                expected = (part / (part + rest), low, high)
                assert (found["value"], found["low"], found["high"]) == pytest.approx(
                    expected, abs=1e-9
                )
            f1 = sklearn.metrics.f1_score(truth == k, named == k)
            assert one["metrics"]["f1"][moment]["value"] == pytest.approx(f1)
            roc = sklearn.metrics.roc_auc_score(truth == k, probabilities[:, k])
            assert one["metrics"]["auroc"][moment]["value"] == pytest.approx(roc)
        right = [named[truth == k] == k for named, _ in (before, after)]
        gained, lost = int((~right[0] & right[1]).sum()), int((right[0] & ~right[1]).sum())
        assert (one["mcnemar"]["gained"], one["mcnemar"]["lost"]) == (gained, lost)
        tests.append(mcnemar([[0, lost], [gained, 0]], exact=True).pvalue)
    found = [one["mcnemar"]["p"] for one in shown]
    assert found == pytest.approx(tests)
    adjusted = multipletests(tests, method="holm")[1]
    assert [one["mcnemar"]["p_holm"] for one in shown] == pytest.approx(adjusted.tolist())


def assert_comparison(shown: dict[str, Any], truth: np.ndarray, before: Any, after: Any) -> None:
    """Compare a whole comparison of two networks."""
    assert shown["images"] == len(truth)
    assert_overall(shown["overall"], truth, before, after)
    assert_classes(shown["classes"], truth, before, after)
    right = [named == truth for named, _ in (before, after)]
    gained, lost = int((~right[0] & right[1]).sum()), int((right[0] & ~right[1]).sum())
    test = mcnemar([[0, lost], [gained, 0]], exact=True)
    assert (shown["mcnemar"]["gained"], shown["mcnemar"]["lost"]) == (gained, lost)
    assert shown["mcnemar"]["p"] == pytest.approx(test.pvalue)
    classes = before[1].shape[1]
    moved = sklearn.metrics.confusion_matrix(before[0], after[0], labels=range(classes))
    assert shown["moved"] == moved.tolist()
    changed = [k for k in range(classes) if moved[k].sum() + moved[:, k].sum() > 2 * moved[k, k]]
    table = SquareTable(moved[np.ix_(changed, changed)], shift_zeros=False)
    with np.errstate(invalid="ignore", divide="ignore"):
        off = moved + moved.T
        pairs = np.triu(off > 0, 1)
        bowker = (((moved - moved.T) ** 2)[pairs] / off[pairs]).sum()
    assert shown["symmetry"]["statistic"] == pytest.approx(bowker)
    assert shown["symmetry"]["degrees_of_freedom"] == pairs.sum()
    assert shown["symmetry"]["p"] == pytest.approx(chi2.sf(bowker, pairs.sum()))
    homogeneity = table.homogeneity("stuart_maxwell")
    assert shown["homogeneity"]["statistic"] == pytest.approx(homogeneity.statistic)
    assert shown["homogeneity"]["p"] == pytest.approx(homogeneity.pvalue)


def test_the_comparison_is_scikit_learns_and_statsmodels(saved: Saved):
    before, after = (
        (saved.predicted("test", moment), saved.probabilities("test", moment))
        for moment in ("before", "after")
    )
    judged = saved.results["assessment"]
    assert_comparison(judged["comparison"], saved.labels["test"], before, after)
    for moment, (named, probabilities) in (("before", before), ("after", after)):
        counts = [one["images"] for one in judged["comparison"][f"calibration_{moment}"]]
        edges = np.linspace(0, 1, 16)
        sure = probabilities.max(axis=1)
        assert counts == np.histogram(sure, edges)[0].tolist()
        for low, one in zip(edges, judged["comparison"][f"calibration_{moment}"], strict=False):
            inside = (sure >= low) & (sure < low + 1 / 15)
            if inside.any():
                right = (named == saved.labels["test"])[inside].mean()
                found = (one["accuracy"], one["confidence"])
                assert found == pytest.approx((right, sure[inside].mean()), rel=1e-6)
    needed = judged["comparison"]["flips_needed"]
    assert 2 * binom.cdf(0, needed, 0.5) < 0.05 <= 2 * binom.cdf(0, needed - 1, 0.5)


def test_groups_of_classes_are_compared_as_classes(saved: Saved):
    grouped = saved.results["assessment"]["grouped"]
    assert grouped["names"] == ["even", "odd"]
    assert grouped["abnormal"] == ["even"]
    parity = np.arange(10) % 2

    def merged(moment: str) -> tuple[np.ndarray, np.ndarray]:
        probabilities = saved.probabilities("test", moment)
        both = np.stack([probabilities[:, parity == k].sum(axis=1) for k in (0, 1)], axis=1)
        return parity[saved.predicted("test", moment)], both

    truth = parity[saved.labels["test"]]
    assert_comparison(grouped["comparison"], truth, merged("before"), merged("after"))


def test_the_verdict_and_the_flips_follow_from_the_answers(saved: Saved):
    judged = saved.results["assessment"]
    verdict = judged["verdicts"]["accuracy"]
    assert verdict["difference"] == judged["comparison"]["overall"]["accuracy"]["difference"]
    assert (verdict["finding"] == "non-inferior") == (verdict["difference"]["low"] > -0.05)
    before, after = (saved.predicted("test", moment) for moment in ("before", "after"))
    changed = np.flatnonzero(before != after)
    assert len(changed) > 0
    assert sorted(flip["image"] for flip in judged["flips"]) == changed.tolist()
    classes = saved.results["classes"]
    for flip in judged["flips"]:
        image = flip["image"]
        answers = (classes[before[image]], classes[after[image]])
        assert (flip["before"], flip["after"]) == answers
        for moment in ("before", "after"):
            sure = saved.probabilities("test", moment)[image].max()
            assert flip[f"confidence_{moment}"] == pytest.approx(sure, rel=1e-6)
        sick = flip["label"] in EVEN
        missed = sick and flip["before"] in EVEN and flip["after"] not in EVEN
        assert flip["missed_disease"] == missed


def test_a_margin_chosen_with_the_results_at_hand_is_told(
    saved: Saved, server: Server, tmp_path: Path
):
    assert saved.results["assessment"]["prespecified"] is True
    run = copy_of(saved.run.parent, tmp_path)
    for margin, prespecified in ((0.1, False), (0.05, True), (None, None)):
        write_config(tmp_path, {"report.non_inferiority_margin": margin})
        server.call("report", "config.yaml", "--run-dir", "run", cwd=tmp_path).succeeded()
        assert Saved(run).results["assessment"]["prespecified"] is prespecified
        told = "test images had been evaluated" in (run / "report" / "report.html").read_text()
        assert told == (prespecified is False)


def test_nodes_and_evolution_are_those_of_the_records(saved: Saved):
    results = saved.results
    with h5py.File(saved.run / "importance.h5") as file:
        importances = file["nodes"]["importance"]
    with h5py.File(saved.run / "pruning.h5") as file:
        removed, layers = file["removed"][:], file["layers"]["name"]
    low, high = results["pruning"]["low"], results["pruning"]["high"]
    (layer,) = results["layers"]
    assert layer["nodes"] == len(importances)
    assert layer["important"] == (importances < low).sum()
    assert layer["worse"] == (importances > high).sum()
    assert layer["zero"] == ((importances >= low) & (importances <= high)).sum()
    assert layer["removed"] == len(removed) == results["pruning"]["removed"]
    assert layers.tolist() == [layer["name"].encode()]
    first, last = results["evolution"][0], results["evolution"][-1]
    for split in ("train", "validation", "test"):
        for point, moment in ((first, "before"), (last, "after")):
            found, shown = point[split], results["splits"][split][moment]
            assert found == pytest.approx({key: shown[key] for key in found}, rel=1e-5)
    assert last["validation"]["loss"] == pytest.approx(float(removed["loss"][-1]), rel=1e-5)


def test_the_cost_is_counted_from_the_stored_weights(saved: Saved):
    for name, moment in (("model.keras", "before"), ("pruned.keras", "after")):
        path, found = saved.run / name, saved.results["cost"][moment]
        shapes = [array.shape for array in arrays_of(path).values()]
        assert found["parameters"] == sum(int(np.prod(shape)) for shape in shapes)
        products = sum(int(np.prod(shape)) for shape in shapes if len(shape) == 2)
        assert found["flops"] == 2 * products
        assert found["file_bytes"] == path.stat().st_size
