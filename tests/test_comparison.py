"""The clinical comparison, against scikit-learn, published examples and drawing by hand."""

import math
import warnings

import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from kvasir_prune.evaluation import performance, resampling
from kvasir_prune.evaluation.answers import Answers
from kvasir_prune.evaluation.calibration import reliability
from kvasir_prune.evaluation.comparison import compare
from kvasir_prune.evaluation.intervals import tango, wilson, wilson_f1
from kvasir_prune.evaluation.resampling import Draws, interval
from kvasir_prune.evaluation.significance import (
    bowker,
    flips_needed,
    mcnemar,
    mcnemar_by_class,
    stuart_maxwell,
)

# Unaided distance vision of 7,477 women, right eye by left eye (Stuart 1955, Biometrika 42:412).
VISION = np.array(
    [[1520, 266, 124, 66], [234, 1512, 432, 78], [117, 362, 1772, 205], [36, 82, 179, 492]]
)


def random_answers(images: int, classes: int, seed: int, skill: float = 2.0) -> Answers:
    """Labels that need not name every class, and logits that often tie."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, images)
    logits = rng.normal(size=(images, classes)) + skill * np.eye(classes)[labels]
    return Answers.of(np.round(logits, 1).astype(np.float32), labels)


MEANS_OVER_CLASSES = ("balanced_accuracy", "macro_f1", "auroc")
sizes = st.tuples(st.integers(1, 40), st.integers(2, 6), st.integers(0, 10**6))


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_gives_newcombes_worked_examples(successes, trials, low, high):
    """Newcombe 1998, Statistics in Medicine 17:857, Table I, method 3."""
    found = wilson(successes, trials)
    assert (found.value, found.low, found.high) == pytest.approx(
        (successes / trials, low, high), abs=5e-5
    )


@pytest.mark.parametrize(
    ("gained", "lost", "images", "confidence", "low", "high"),
    [
        (9, 3, 32, 0.95, -0.027, 0.390),  # Tango 1998, Statistics in Medicine 17:891
        (0, 1, 44, 0.90, -0.096, 0.037),  # the same: contact lenses, Miyanaga 1994
        (1, 7, 21, 0.95, -0.517, -0.026),  # Fagerland et al. 2014, Statistics in Medicine 33:2850
    ],
)
def test_tango_gives_published_worked_examples(gained, lost, images, confidence, low, high):
    found = tango(gained, lost, images, confidence)
    assert (found.low, found.high) == pytest.approx((low, high), abs=5e-4)


@given(st.integers(0, 30), st.integers(0, 30), st.integers(0, 30))
def test_tangos_interval_holds_its_estimate_and_turns_with_the_sign(gained, lost, unchanged):
    images = gained + lost + unchanged
    found, turned = tango(gained, lost, images), tango(lost, gained, images)
    if images == 0:
        assert found.value is None
        return
    assert -1 <= found.low <= found.value <= found.high <= 1
    assert found.high - found.low > 0
    assert (turned.low, turned.high) == pytest.approx((-found.high, -found.low), abs=1e-9)


@pytest.mark.parametrize("counts", [(0, 0, 5), (5, 0, 0), (7, 2, 3), (0, 4, 0)])
def test_the_interval_of_f1_is_wilsons_of_the_share_that_f1_is_a_function_of(counts):
    hits, alarms, misses = counts
    found, share = wilson_f1(*counts), wilson(hits, sum(counts))
    assert found.value == pytest.approx(2 * hits / (2 * hits + alarms + misses))
    assert found.low / (2 - found.low) == pytest.approx(share.low, abs=1e-12)
    assert found.high / (2 - found.high) == pytest.approx(share.high)


def test_shifts_of_the_label_give_the_published_statistics():
    """Stuart 1955: 11.957 on 3 degrees of freedom; Bowker's test of the same table: 19.107 on 6."""
    homogeneity, symmetry = stuart_maxwell(VISION), bowker(VISION)
    assert (homogeneity.statistic, homogeneity.degrees_of_freedom) == (
        pytest.approx(11.957, abs=1e-3),
        3,
    )
    assert (symmetry.statistic, symmetry.degrees_of_freedom) == (pytest.approx(19.107, abs=1e-3), 6)
    assert homogeneity.p == pytest.approx(0.00753, abs=1e-5)
    assert symmetry.p == pytest.approx(0.00399, abs=1e-5)


@given(st.integers(2, 5), st.integers(0, 10**6), st.floats(0, 0.9))
def test_label_shifts_of_sparse_tables_agree_with_the_generalised_inverse(classes, seed, empty):
    """d' V+ d, Maxwell 1970; V+ is what a singular V has instead of an inverse."""
    rng = np.random.default_rng(seed)
    table = rng.integers(0, 9, (classes, classes)) * (rng.random((classes, classes)) > empty)
    d = table.sum(axis=1) - table.sum(axis=0)
    v = np.diag(table.sum(axis=1) + table.sum(axis=0)) - table - table.T
    found = stuart_maxwell(table)
    assert found.statistic == pytest.approx(d @ np.linalg.pinv(v) @ d, abs=1e-8)
    assert found.degrees_of_freedom == np.linalg.matrix_rank(v)
    assert (found.p is None) == (found.degrees_of_freedom == 0)


@given(st.lists(st.tuples(st.booleans(), st.booleans()), max_size=40))
def test_mcnemar_is_the_binomial_test_of_the_flips(pairs):
    before, after = np.array(pairs, bool).reshape(-1, 2).T
    found = mcnemar(before, after)
    flips = found.gained + found.lost
    assert flips == np.count_nonzero(before != after)
    expected = binomtest(found.lost, flips).pvalue if flips else 1
    assert found.p == pytest.approx(expected, abs=1e-12)


def test_the_tests_of_the_classes_are_adjusted_as_holm_did_it_by_hand():
    """One-way flips of 5, 8 and 0 images, and a class without any: three tests, not four."""
    labels = np.repeat([0, 1, 2], [10, 10, 10])
    before, after = np.ones(30, bool), np.ones(30, bool)
    after[:5] = after[10:18] = False
    found = mcnemar_by_class(before, after, labels, 4)
    assert [test.p for test in found] == [2 * 0.5**5, 2 * 0.5**8, 1, 1]
    assert [test.p_holm for test in found] == [2 * 2 * 0.5**5, 3 * 2 * 0.5**8, 1, None]


@pytest.mark.parametrize(("tests", "flips"), [(1, 6), (5, 8), (8, 9), (23, 10)])
def test_so_many_one_way_flips_are_significant_and_one_fewer_is_not(tests, flips):
    assert flips_needed(tests) == flips
    labels = np.repeat(np.arange(tests), 20)
    for lost, significant in ((flips, True), (flips - 1, False)):
        after = np.ones(20 * tests, bool)
        after[:lost] = False
        found = mcnemar_by_class(np.ones(20 * tests, bool), after, labels, tests)
        assert (found[0].p_holm < 0.05) is significant


@given(sizes)
def test_overall_metrics_are_scikit_learns(size):
    images, classes, seed = size
    answers = random_answers(images, classes, seed)
    truth, named, probabilities = answers.labels, answers.predicted, answers.probabilities
    found = {name: estimate.value for name, estimate in performance.overall(answers).items()}
    assert found["accuracy"] == sklearn.metrics.accuracy_score(truth, named)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says which classes have no image
        balanced = sklearn.metrics.balanced_accuracy_score(truth, named)
        assert found["balanced_accuracy"] == pytest.approx(balanced)
        report = sklearn.metrics.classification_report(truth, named, output_dict=True)
    present = np.unique(truth)
    assert found["macro_f1"] == pytest.approx(
        np.mean([report[str(k)]["f1-score"] for k in present])
    )
    assert found["log_loss"] == pytest.approx(
        sklearn.metrics.log_loss(truth, probabilities, labels=range(classes))
    )
    assert found["brier"] == pytest.approx(
        np.mean(np.sum((probabilities - np.eye(classes)[truth]) ** 2, axis=1))
    )
    if len(present) == classes > 2:
        expected = sklearn.metrics.roc_auc_score(truth, probabilities, multi_class="ovr")
        assert found["auroc"] == pytest.approx(expected)
    if len(np.union1d(truth, named)) == 1:
        assert found["mcc"] is None
        assert found["kappa"] is None


@given(sizes)
def test_metrics_of_a_class_are_scikit_learns_of_the_class_against_the_rest(size):
    images, classes, seed = size
    answers = random_answers(images, classes, seed)
    for k, found in enumerate(performance.by_class(answers)):
        truth, named = answers.labels == k, answers.predicted == k
        tn, fp, fn, tp = sklearn.metrics.confusion_matrix(
            truth, named, labels=[False, True]
        ).ravel()
        for metric, (part, rest) in {
            "sensitivity": (tp, fn),
            "specificity": (tn, fp),
            "ppv": (tp, fp),
            "npv": (tn, fn),
        }.items():
            assert found[metric] == wilson(int(part), int(part + rest))
        if tp + fp + fn:
            assert found["f1"].value == pytest.approx(sklearn.metrics.f1_score(truth, named))
        if 0 < truth.sum() < images:
            expected = sklearn.metrics.roc_auc_score(truth, answers.log_odds[:, k])
            assert found["auroc"].value == pytest.approx(expected)
        else:
            assert found["auroc"].value is None


@given(sizes)
@settings(deadline=None)
def test_a_draw_is_measured_as_if_its_images_were_listed_one_by_one(size):
    images, classes, seed = size
    answers = random_answers(images, classes, seed)
    weights = np.random.default_rng(seed).integers(0, 3, (4, images)).astype(float)
    overall, by_class = resampling.measure(answers, weights)
    for draw, counts in enumerate(weights.astype(int)):
        if not counts.any():
            continue
        rows = np.repeat(np.arange(images), counts)
        listed = Answers(
            answers.labels[rows], answers.log_probabilities[rows], answers.predicted[rows]
        )
        complete = set(listed.labels) == set(answers.labels)
        for name, estimate in performance.overall(listed).items():
            wanted = nan_if_none(estimate.value)
            if name in MEANS_OVER_CLASSES and not complete:
                wanted = math.nan  # a mean over fewer classes is another quantity
            assert overall[name][draw] == pytest.approx(wanted, nan_ok=True)
        for k, values in enumerate(performance.by_class(listed)):
            for name, estimate in values.items():
                wanted = nan_if_none(estimate.value)
                assert by_class[name][draw, k] == pytest.approx(wanted, nan_ok=True)


def nan_if_none(value: float | None) -> float:
    return math.nan if value is None else value


def test_the_bootstrap_of_an_accuracy_has_the_binomials_spread():
    answers = random_answers(400, 3, seed=1)
    draws = Draws(np.arange(400), seed=0, replicates=4000)
    accuracies = np.concatenate(
        [resampling.measure(answers, some)[0]["accuracy"] for some in draws]
    )
    p = answers.is_right.mean()
    assert accuracies.mean() == pytest.approx(p, abs=0.002)
    assert accuracies.std() == pytest.approx(math.sqrt(p * (1 - p) / 400), rel=0.05)


def test_duplicates_drawn_as_groups_add_no_certainty():
    """Every image four times: as groups the intervals are those of the images once."""
    before, after = random_answers(60, 3, seed=2), random_answers(60, 3, seed=3)
    after = Answers(before.labels, after.log_probabilities, after.predicted)
    once = compare(before, after, "abc", seed=5)
    rows = np.tile(np.arange(60), 4)
    fourfold = [
        Answers(a.labels[rows], a.log_probabilities[rows], a.predicted[rows])
        for a in (before, after)
    ]
    grouped = compare(*fourfold, "abc", groups=rows, seed=5)
    apart = compare(*fourfold, "abc", seed=5)
    assert (once.groups, grouped.groups, apart.groups) == (60, 60, 240)
    for name in ("log_loss", "brier", "macro_f1"):
        single, whole = (c.overall[name].difference for c in (once, grouped))
        assert (whole.low, whole.high) == pytest.approx((single.low, single.high))
        naive = apart.overall[name].difference
        assert naive.high - naive.low < 0.7 * (whole.high - whole.low)
    for pick in (
        lambda c: c.overall["accuracy"],
        lambda c: c.overall["balanced_accuracy"],
        lambda c: c.classes[0].metrics["sensitivity"],
        lambda c: c.classes[0].metrics["specificity"],
    ):
        single, whole, naive = (pick(c).difference for c in (once, grouped, apart))
        assert whole.high - whole.low >= 0.99 * (single.high - single.low)
        assert naive.high - naive.low < 0.7 * (whole.high - whole.low)


def test_nothing_flipped_is_no_proof_that_nothing_changes():
    answers = random_answers(30, 3, seed=4)
    same = compare(answers, answers, "abc")
    accuracy = same.overall["accuracy"].difference
    assert (accuracy.value, accuracy.low, accuracy.high) == (
        0,
        pytest.approx(-0.1135, abs=1e-3),
        pytest.approx(0.1135, abs=1e-3),
    )
    assert same.mcnemar.p == 1
    assert (same.homogeneity.p, same.symmetry.p) == (None, None)


def test_a_class_without_images_is_left_empty():
    labels = np.array([0, 0, 1, 1])
    logits = np.array([[2, 1, 0], [1, 2, 0], [0, 2, 1], [0, 3, 1]], np.float32)
    answers = Answers.of(logits, labels)
    absent = compare(answers, answers, "abc").classes[2]
    assert (absent.images, absent.groups, absent.mcnemar.p_holm) == (0, 0, None)
    for metric in ("sensitivity", "ppv", "f1", "auroc"):
        change = absent.metrics[metric]
        assert (change.before.value, change.difference.value) == (None, None)
    assert absent.metrics["specificity"].after.value == 1


def test_nineteen_of_twenty_replicates_lie_inside_an_interval():
    found = interval(0.4, np.random.default_rng(0).permutation(np.linspace(0, 1, 1001)))
    assert (found.value, found.low, found.high) == (0.4, pytest.approx(0.025), pytest.approx(0.975))


def test_an_estimate_of_which_many_replicates_are_undefined_has_no_interval():
    replicates = np.linspace(0, 1, 100)
    replicates[:4] = math.nan
    assert interval(0.5, replicates).low is not None
    replicates[:5] = math.nan
    assert interval(0.5, replicates).low is None


def test_merging_classes_counts_a_confusion_inside_a_group_as_right():
    logits = np.log(np.array([[0.4, 0.35, 0.25], [0.1, 0.5, 0.4], [0.5, 0.2, 0.3]], np.float32))
    answers = Answers.of(logits, np.array([0, 2, 1]))
    merged = answers.merged([0, 1, 1])
    assert merged.labels.tolist() == [0, 1, 1]
    assert merged.predicted.tolist() == [0, 1, 0]  # the first by its class, not by 0.35 + 0.25
    assert merged.probabilities == pytest.approx(np.array([[0.4, 0.6], [0.1, 0.9], [0.5, 0.5]]))


def test_calibration_bins_follow_a_case_worked_by_hand():
    """Confidences 0.9, 0.9, 0.6, 0.6, of which three are right."""
    p = np.array([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.6, 0.4]])
    answers = Answers(np.array([0, 1, 0, 0]), np.log(p), np.zeros(4, np.int64))
    bins = [b for b in reliability(answers) if b.images]
    assert [(b.images, b.accuracy) for b in bins] == [(2, 1.0), (2, 0.5)]
    assert [b.confidence for b in bins] == pytest.approx([0.6, 0.9])
    assert performance.overall(answers)["ece"].value == pytest.approx((2 * 0.4 + 2 * 0.4) / 4)


def test_groups_that_are_lost_whole_are_not_certified_by_their_images():
    """20 videos of 50 frames, two lost whole: 10% of the images, but of 20 trials."""
    labels, groups = np.tile([0, 1], 500), np.repeat(np.arange(20), 50)
    right, lost = np.eye(2)[labels], np.isin(groups, [3, 11])
    before = Answers.of((5 * right).astype(np.float32), labels)
    after = Answers.of((np.where(lost[:, None], -5, 5) * right).astype(np.float32), labels)
    found = compare(before, after, "ab", groups=groups).overall["accuracy"].difference
    assert found.value == pytest.approx(-0.1)
    trials = tango(0, 2, 20)
    assert found.low <= trials.low + 1e-9
    assert found.high >= trials.high - 1e-9
    untouched = compare(before, before, "ab", groups=groups).overall["accuracy"].difference
    assert untouched.high == pytest.approx(tango(0, 0, 20).high)


def test_fewer_than_ten_groups_give_no_interval_and_images_alone_always_do():
    answers, worse = random_answers(90, 3, seed=6), random_answers(90, 3, seed=7)
    worse = Answers(answers.labels, worse.log_probabilities, worse.predicted)
    few = compare(answers, worse, "abc", groups=np.repeat(np.arange(9), 10))
    enough = compare(answers, worse, "abc", groups=np.repeat(np.arange(10), 9))
    assert few.overall["accuracy"].difference.low is None
    assert few.overall["accuracy"].before.low is not None
    assert enough.overall["accuracy"].difference.low is not None
    three = Answers(answers.labels[:3], answers.log_probabilities[:3], answers.predicted[:3])
    assert compare(three, three, "abc").overall["accuracy"].difference.low is not None


def test_where_nothing_flips_the_balanced_accuracy_is_as_uncertain_as_its_classes():
    """Twelve images, none flipped: no margin of two points can be shown to be kept."""
    labels = np.repeat([0, 1, 2], 4)
    answers = Answers.of((5 * np.eye(3)[labels]).astype(np.float32), labels)
    same = compare(answers, answers, "abc").overall
    own = tango(0, 0, 4).high
    assert same["balanced_accuracy"].difference.high == pytest.approx(own * math.sqrt(3) / 3)
    assert same["accuracy"].difference.high == pytest.approx(tango(0, 0, 12).high)
    for metric in ("macro_f1", "mcc", "kappa", "auroc"):
        assert same[metric].after.value == pytest.approx(1)
        assert (same[metric].after.low, same[metric].difference.low) == (None, None)


def test_a_class_of_one_image_leaves_means_over_classes_without_an_interval_of_fewer():
    labels = np.array([0] * 50 + [1] * 50 + [2])
    logits = 5 * np.eye(3)[labels] + np.random.default_rng(1).normal(size=(101, 3))
    logits[100] = [5, 0, 0]
    found = compare(*(Answers.of(logits.astype(np.float32), labels),) * 2, "abc").overall
    assert found["balanced_accuracy"].before.value < 0.7
    assert found["balanced_accuracy"].before.low is None


def test_certain_networks_rank_images_alike_from_both_sides():
    """Margins beyond 37 nats, where one probability is 1 in float64, ranked by the odds."""
    margins = np.array([60, 50, 45, 40], np.float32)
    answers = Answers.of(np.stack([margins, 0 * margins], axis=1), np.array([0, 1, 0, 1]))
    first, second = (one["auroc"].value for one in performance.by_class(answers))
    assert first == second == 0.75
