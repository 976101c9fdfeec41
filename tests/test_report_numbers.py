"""The numbers of report.json, computed again from the files of the run by other libraries."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import sklearn.metrics
from scipy.optimize import brentq, minimize_scalar
from scipy.special import softmax, xlogy
from scipy.stats import binom, chi2, norm
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from tests.cli_runs import Server, arrays_of, copy_of, reseal, rewriting, write_config

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
        self.seed: int = record["provenance"]["seed"]
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

    def units(self) -> np.ndarray:
        """Number what hangs together among the test images, in the order of the first members."""
        with (self.run / "split.csv").open(newline="") as lines:
            tests = [line for line in csv.DictReader(lines) if line["split"] == "test"]
        alike = json.loads((self.run / "data_check.json").read_text())["look_alikes"]
        sets = [[i for i, line in enumerate(tests) if line["path"] in paths] for paths in alike]
        names = {line["group"] for line in tests} - {""}
        sets += [[i for i, line in enumerate(tests) if line["group"] == name] for name in names]
        unit = np.arange(len(tests))
        for _ in sets:
            for members in sets:
                unit[members] = unit[members].min()
        return np.unique(unit, return_inverse=True)[1]

    def draws(self) -> np.ndarray:
        """Return how often each test image is in each replicate of the bootstrap, (2000, n)."""
        units = self.units()
        number = units.max() + 1
        rng = np.random.default_rng(self.seed)
        return rng.multinomial(number, np.full(number, 1 / number), size=2000)[:, units]


def write_answers(run: Path) -> None:
    """Let the test images lose, gain and change in every way; four of them are a missed disease."""
    rng = np.random.default_rng(7)
    with rewriting(run / "evaluation.h5") as file:
        labels = file["test/labels"][()]
        named = {"before": labels.copy(), "after": labels.copy()}
        of = [np.flatnonzero(labels == k) for k in range(10)]
        named["after"][of[4][:4]] = 1
        named["after"][of[4][4]] = 0  # lost, but to another disease
        named["before"][of[7][:2]] = 1
        named["before"][of[2][0]] = 3  # a disease found
        named["before"][of[9][0]], named["after"][of[9][0]] = 5, 3
        named["before"][of[6][0]] = named["after"][of[6][0]] = 8
        for moment, classes in named.items():
            noise = rng.uniform(0, 2, (len(labels), 10))
            file[f"test/{moment}"][...] = 3 * np.eye(10)[classes] + noise


def write_groups(run: Path) -> None:
    """Let test images belong together: three of class 0 through a group, and through their looks.

    Two others, of different classes, look alike too.
    """
    path = run / "split.csv"
    with path.open(newline="") as stream:
        lines = list(csv.DictReader(stream))
    tests = [line for line in lines if line["split"] == "test"]
    (first, second, third, *_), (three, *_), (five, *_) = (
        [line for line in tests if line["class"] == name] for name in "035"
    )
    first["group"] = second["group"] = "video 1"
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, lines[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)
    checked = run / "data_check.json"
    found = json.loads(checked.read_text())
    found["look_alikes"] = [[a["path"], b["path"]] for a, b in ((second, third), (three, five))]
    checked.write_text(json.dumps(found))
    reseal(run, path, checked)


@pytest.fixture(scope="module")
def as_it_came(finished: Path) -> Saved:
    """Give a finished run."""
    return Saved(finished / "run")


@pytest.fixture(scope="module")
def saved(finished: Path, server: Server, tmp_path_factory: pytest.TempPathFactory) -> Saved:
    """Give a finished run with flips of every kind, groups of images and of classes, a margin."""
    place = tmp_path_factory.mktemp("numbers")
    run = copy_of(finished, place)
    write_answers(run)
    write_groups(run)
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
            found = one["metrics"]["f1"][moment]
            assert found["value"] == pytest.approx(f1)
            low, high = (
                2 * end / (1 + end) for end in proportion_confint(tp, tp + fp + fn, method="wilson")
            )
            assert (found["low"], found["high"]) == pytest.approx((low, high), abs=1e-9)
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
    with np.errstate(invalid="ignore", divide="ignore"):
        off = moved + moved.T
        pairs = np.triu(off > 0, 1)
        bowker = (((moved - moved.T) ** 2)[pairs] / off[pairs]).sum()
    assert shown["symmetry"]["statistic"] == pytest.approx(bowker)
    assert shown["symmetry"]["degrees_of_freedom"] == pairs.sum()
    assert shown["symmetry"]["p"] == pytest.approx(chi2.sf(bowker, pairs.sum()))
    more = moved.sum(axis=1) - moved.sum(axis=0)
    variance = np.diag(moved.sum(axis=1) + moved.sum(axis=0)) - moved - moved.T
    maxwell = more @ np.linalg.pinv(variance) @ more  # singular where no label moved across
    freedom = np.linalg.matrix_rank(variance)
    assert shown["homogeneity"]["statistic"] == pytest.approx(maxwell)
    assert shown["homogeneity"]["degrees_of_freedom"] == freedom
    assert shown["homogeneity"]["p"] == pytest.approx(chi2.sf(maxwell, freedom))


def test_the_constructed_answers_flip_in_every_way(saved: Saved):
    judged = saved.results["assessment"]
    whole = judged["comparison"]
    assert (whole["mcnemar"]["lost"], whole["mcnemar"]["gained"]) == (5, 3)
    assert whole["mcnemar"]["p"] < 1
    assert whole["classes"][4]["mcnemar"]["p_holm"] == pytest.approx(10 * 2 * 0.5**5)
    assert [flip["kind"] for flip in judged["flips"]] == [*5 * ["lost"], "changed", *3 * ["gained"]]
    assert [flip["missed_disease"] for flip in judged["flips"]] == [*4 * [True], *5 * [False]]
    assert whole["overall"]["accuracy"]["difference"]["value"] == pytest.approx(-2 / 60)


def test_images_that_belong_together_are_drawn_together(saved: Saved):
    """Three images of class 0 hang together through a group and a look-alike, and so do 3 and 5."""
    units = saved.units()
    assert len(np.unique(units)) == 60 - 2 - 1
    truth, weights = saved.labels["test"], saved.draws()
    whole = saved.results["assessment"]["comparison"]
    assert (whole["images"], whole["groups"], whole["replicates"]) == (60, 57, 2000)
    for k, one in enumerate(whole["classes"]):
        groups = len(np.unique(units[truth == k]))
        assert (one["images"], one["groups"]) == (6, groups)
        # Fewer groups than images, and fewer than ten: no interval of a change.
        assert (one["metrics"]["sensitivity"]["difference"]["low"] is None) == (groups < 6)
    losses = {
        moment: weights @ -np.log(saved.probabilities("test", moment)[np.arange(60), truth])
        for moment in ("before", "after")
    }
    drawn = {moment: sums / weights.sum(axis=1) for moment, sums in losses.items()}
    drawn["difference"] = drawn["after"] - drawn["before"]
    named = saved.predicted("test", "after")
    kappas = [sklearn.metrics.cohen_kappa_score(truth, named, sample_weight=w) for w in weights]
    for metric, quantity, replicates in (
        ("kappa", "after", kappas),
        *(("log_loss", quantity, replicates) for quantity, replicates in drawn.items()),
    ):
        found = whole["overall"][metric][quantity]
        ends = np.percentile(replicates, (2.5, 97.5))
        assert (found["low"], found["high"]) == pytest.approx(tuple(ends), rel=1e-6)


def score_interval(gained: float, lost: float, images: float) -> tuple[float, float]:
    """Return the ends of Tango's interval, the other parameter found by maximising likelihood."""

    def score(difference: float) -> float:
        def unlikely(share_lost: float) -> float:
            share_gained = share_lost + difference
            shares = np.array([share_lost, share_gained, 1 - share_lost - share_gained])
            return -xlogy([lost, gained, images - lost - gained], shares).sum()

        bounds = (max(0.0, -difference), (1 - difference) / 2)
        best = minimize_scalar(unlikely, bounds=bounds, method="bounded", options={"xatol": 1e-12})
        flipped = 2 * best.x + difference
        return (gained - lost - images * difference) / math.sqrt(images * (flipped - difference**2))

    middle, z = (gained - lost) / images, norm.ppf(0.975)
    return (
        brentq(lambda d: score(d) - z, -1 + 1e-6, middle),
        brentq(lambda d: score(d) + z, middle, 1 - 1e-6),
    )


def outer(*intervals: Sequence[float]) -> tuple[float, float]:
    lows, highs = zip(*intervals, strict=True)
    return min(lows), max(highs)


def test_differences_of_shares_have_the_outer_interval_of_tangos_and_the_bootstraps(saved: Saved):
    truth, weights, units = saved.labels["test"], saved.draws(), saved.units()
    right = [saved.predicted("test", moment) == truth for moment in ("before", "after")]
    whole = saved.results["assessment"]["comparison"]

    def of(images: np.ndarray) -> tuple[float, float]:
        was, now = (r[images] for r in right)
        gained, lost, n = (~was & now).sum(), (was & ~now).sum(), len(was)
        trials = len(np.unique(units[images])) / n
        return outer(
            score_interval(gained, lost, n),
            score_interval(gained * trials, lost * trials, n * trials),
        )

    def drawn(images: np.ndarray) -> np.ndarray:
        w = weights[:, images]
        with np.errstate(invalid="ignore"):  # a class that a draw misses
            return w @ (1.0 * right[1][images] - right[0][images]) / w.sum(axis=1)

    everything = np.arange(60)
    found = whole["overall"]["accuracy"]["difference"]
    expected = outer(of(everything), np.percentile(drawn(everything), (2.5, 97.5)))
    assert (found["low"], found["high"]) == pytest.approx(expected, abs=1e-5)
    classes = [np.flatnonzero(truth == k) for k in range(10)]
    for k in (4, 7, 8):
        found = whole["classes"][k]["metrics"]["sensitivity"]["difference"]
        expected = outer(of(classes[k]), np.nanpercentile(drawn(classes[k]), (2.5, 97.5)))
        assert (found["low"], found["high"]) == pytest.approx(expected, abs=1e-5)
    # Zou and Donner 2008: distances to the ends add up as standard errors do.
    means = [right[1][own].mean() - right[0][own].mean() for own in classes]
    lows, highs = zip(*map(of, classes), strict=True)
    middle = np.mean(means)
    down, up = (np.linalg.norm(np.subtract(ends, means)) / 10 for ends in (lows, highs))
    found = whole["overall"]["balanced_accuracy"]["difference"]
    balanced = np.nanpercentile(np.mean([drawn(own) for own in classes], axis=0), (2.5, 97.5))
    assert (found["low"], found["high"]) == pytest.approx(
        outer((middle - down, middle + up), balanced), abs=1e-5
    )


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
    for metric, verdict in judged["verdicts"].items():
        change = judged["comparison"]["overall"][metric]["difference"]
        assert verdict["difference"] == change
        assert change["low"] < -0.05 < change["high"]
        assert verdict["finding"] == "not shown"
    before, after = (saved.predicted("test", moment) for moment in ("before", "after"))
    changed = np.flatnonzero(before != after)
    assert len(changed) == 9
    assert sorted(flip["image"] for flip in judged["flips"]) == changed.tolist()
    classes = saved.results["classes"]
    for flip in judged["flips"]:
        image = flip["image"]
        answers = (classes[before[image]], classes[after[image]])
        assert (flip["before"], flip["after"]) == answers
        for moment in ("before", "after"):
            sure = saved.probabilities("test", moment)[image].max()
            assert flip[f"confidence_{moment}"] == pytest.approx(sure, rel=1e-6)
        kinds = (
            before[image] == saved.labels["test"][image],
            after[image] == saved.labels["test"][image],
        )
        expected = {(True, False): "lost", (False, True): "gained", (False, False): "changed"}
        assert flip["kind"] == expected[kinds]
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


def test_nodes_and_evolution_are_those_of_the_records(as_it_came: Saved):
    results = as_it_came.results
    with h5py.File(as_it_came.run / "importance.h5") as file:
        importances = file["nodes"]["importance"]
    with h5py.File(as_it_came.run / "pruning.h5") as file:
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
