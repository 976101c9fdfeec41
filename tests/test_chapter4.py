"""What is said of the thesis's findings, on trials made so that the answer is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from chapter4.document import sections
from chapter4.findings import Finding, findings
from chapter4.kept import KEPT, comparison_of, keep, kept_names, trials_of
from kvasir_prune.config.sweep import load_sweep
from kvasir_prune.errors import LaboratoryError, RunFolderError
from kvasir_prune.laboratory.sweep_folder import SweepFolder

RANDOM = np.random.default_rng(3)


def sweep(folder: Path, name: str, *settings: tuple[str, dict[str, np.ndarray]]) -> None:
    rows = [
        pd.DataFrame(columns).assign(setting=setting, seed=range(len(next(iter(columns.values())))))
        for setting, columns in settings
    ]
    pd.concat(rows).to_csv(folder / f"{name}.csv", index=False)


def only(found: list[Finding], name: str) -> Finding:
    (one,) = (one for one in found if one.where.startswith(name))
    return one


@pytest.mark.parametrize(("shift", "holds"), [(8.0, True), (0.0, None), (-8.0, False)])
def test_unimportant_nodes_are_compared_between_networks(tmp_path: Path, shift, holds) -> None:
    def nodes(mean: float) -> dict[str, np.ndarray]:
        worse = np.random.default_rng(1).normal(mean, 2, 20)
        return {"zero.dense1": np.full(20, 2.0), "worse.dense1": worse}

    sweep(tmp_path, "4_2_ann", ("mnist_train", nodes(14)), ("mnist_validation", nodes(14 + shift)))
    one = only(findings(tmp_path), "4_2_ann, mnist, dense1 (20 and 20 networks)")
    assert one.holds is holds
    assert f"{2 + nodes(14)['worse.dense1'].mean():.1f} on training" in one.numbers


def test_removing_all_at_once_is_tested_by_signed_ranks(tmp_path: Path) -> None:
    change = RANDOM.normal(0.05, 0.01, 12)
    sweep(tmp_path, "4_5_ann", ("mnist_train", {"test.loss_change": change}))
    one = only(findings(tmp_path), "4_5_ann")
    assert one.p == pytest.approx(2 / 2**12)
    assert (one.holds, "worse in 12 of 12" in one.numbers) == (True, True)


def test_greedy_is_set_beside_exhaustive_on_the_same_networks(tmp_path: Path) -> None:
    """Of the third network greedy's time is not known: its exhaustive one must not count either."""
    most = {
        "removed": np.array([20, 30, 40]),
        "test.loss_change": np.array([-0.1, -0.2, -0.3]),
        "seconds.prune": np.array([10.0, 20, 30]),
        "test.loss_before": np.array([1.0, 2, 4]),
        "test.loss_after": np.array([0.9, 1.8, 3.7]),
    }
    greedy = {**most, "removed": most["removed"] + 2, "seconds.prune": most["seconds.prune"] / 4}
    greedy["test.loss_change"] = most["test.loss_change"] / 2
    greedy["seconds.prune"][2] = np.nan
    sweep(tmp_path, "4_7_mlp", ("mnist_exhaustive", most), ("mnist_greedy_1e-2", greedy))
    one = only(findings(tmp_path), "4_7_mlp, mnist, ignore_below -1e-2")
    assert one.numbers == (
        "+2.0 nodes (+7%; +7% to +7%), 50% of the decrease of the test loss, 4.0 times as fast "
        "(times of 2)"
    )
    assert one.holds


@pytest.mark.parametrize(
    ("shares", "holds"),
    [
        ((0.12, 0.18, 0.15), True),
        ((0.1, 0.5, 0.1), None),
        ((0.5, 0.6, 0.55), False),
        ((0.1,), None),
    ],
)
def test_about_as_many_is_what_an_interval_within_a_quarter_says(tmp_path, shares, holds) -> None:
    """By hand: 0.15 +- 4.303 x 0.0173 = 0.0745; 0.23 +- 0.574; 0.55 +- 0.124."""
    most = {
        "removed": np.full(len(shares), 100.0),
        "test.loss_change": np.full(len(shares), -0.1),
        "seconds.prune": np.full(len(shares), 1.0),
        "test.loss_before": np.array([1.0, 2.0, 4.0])[: len(shares)],
        "test.loss_after": np.array([0.9, 1.8, 3.7])[: len(shares)],
    }
    greedy = {**most, "removed": 100 * (1 + np.array(shares))}
    sweep(tmp_path, "4_7_mlp", ("mnist_exhaustive", most), ("mnist_greedy_1e-2", greedy))
    assert only(findings(tmp_path), "4_7_mlp, mnist, ignore_below").holds is holds


@pytest.mark.parametrize(
    ("gain", "holds"),
    [((0.0, 0.1, -0.1), True), ((5.0, 5.1, 4.9), False), ((1.0, 1.1, 0.9), None)],
)
def test_drawn_weights_bring_nothing_where_another_seed_would_bring_more(
    tmp_path: Path, gain: tuple[float, ...], holds: bool | None
) -> None:
    """Networks lie 1.0 apart; the interval of a mean gain is 4.303 x 0.0577 = 0.248 wide."""
    usual = np.array([9.0, 10.0, 11.0])
    drawn = usual - np.array(gain)
    sweep(
        tmp_path,
        "4_9_ann",
        ("mnist_usual", {"test.loss_before": usual}),
        ("mnist_drawn", {"test.loss_before": drawn}),
    )
    one = only(findings(tmp_path), "4_9_ann, mnist (3 networks)")
    assert (one.holds, one.p) == (holds, None)


def test_many_rows_of_a_claim_are_adjusted_for_their_number(tmp_path: Path) -> None:
    change = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
    settings = [(f"s{number}", {"test.loss_change": change}) for number in range(2)]
    sweep(tmp_path, "4_5_ann", *settings)
    alone = 2 / 2**6
    assert [one.p for one in findings(tmp_path)] == pytest.approx([2 * alone, 2 * alone])
    assert [one.holds for one in findings(tmp_path)] == [None, None]


@pytest.mark.parametrize(("few", "counts"), [(3, False), (4, True)])
def test_too_few_networks_to_tell_anything_are_not_counted_among_the_tests(
    tmp_path: Path, few: int, counts: bool
) -> None:
    """Three against three come to a p of 2 / 20 at least, four against four of 2 / 70."""
    for name, networks in (("4_2_ann", 20), ("4_2_cnn", few)):
        useless = {"zero.dense1": np.zeros(networks), "worse.dense1": np.arange(networks) * 1.0}
        more = {**useless, "worse.dense1": useless["worse.dense1"] + 7.5}
        sweep(tmp_path, name, ("mnist_train", useless), ("mnist_validation", more))
    found = findings(tmp_path)
    many, small = (only(found, name) for name in ("4_2_ann", "4_2_cnn"))
    alone = stats.mannwhitneyu(np.arange(20), np.arange(20) + 7.5).pvalue
    assert many.p == pytest.approx(alone * (2 if counts else 1))
    assert many.holds
    assert small.p == (pytest.approx(2 / 70) if counts else None)
    assert small.holds is (True if counts else None)


def test_a_spread_that_shrinks_is_found_by_pitman_and_morgan(tmp_path: Path) -> None:
    """p from the F-like statistic of the test as Pitman wrote it, with n - 2 degrees of freedom."""
    before = RANDOM.normal(0, 3, 30)
    after = 0.3 * before + RANDOM.normal(0, 0.2, 30)
    columns = {"test.loss_before": before, "test.loss_after": after}
    sweep(tmp_path, "4_6_ann", ("mnist_train", columns))
    one = only(findings(tmp_path), "4_6_ann")
    r = np.corrcoef(before, after)[0, 1]
    ratio = before.var() / after.var()
    t = (ratio - 1) * np.sqrt(28) / (2 * np.sqrt(ratio * (1 - r**2)))
    assert one.p == pytest.approx(2 * stats.t.sf(t, 28))
    assert one.holds


def test_few_networks_that_differ_by_chance_tell_nothing(tmp_path: Path) -> None:
    change = {"test.loss_change": np.array([0.1, -0.1, 0.2])}
    sweep(tmp_path, "4_5_cnn", ("mnist_train", change))
    assert only(findings(tmp_path), "4_5_cnn").holds is None


def test_the_document_gives_every_sweep_that_is_compared(tmp_path: Path) -> None:
    times = {"seconds.train": np.array([60.0, 60.0]), "seconds.prune": np.array([30.0, 60.0])}
    times |= {"seconds.importance": np.array([90.0, 90.0]), "network": np.array(["3e5c", "3e5c"])}
    sweep(tmp_path, "4_5_ann", ("mnist_train", {"test.loss_change": np.array([1.0, 2]), **times}))
    text = "\n".join(sections(tmp_path))
    published = pd.read_csv(KEPT.parent / "published" / "4_5_ann.csv").set_index(
        ["setting", "quantity"]
    )
    thesis = published.loc[("mnist_train", "test.loss_change")]
    theirs = thesis[["mean", "std", "count"]].astype(float)
    p = stats.ttest_ind_from_stats(1.5, np.sqrt(0.5), 2, *theirs, equal_var=False).pvalue
    assert (
        f"| mnist_train | test.loss_change | 1.5 ± 0.7071 (2) | {thesis['mean']:.4g} ± "
        f"{thesis['std']:.4g} (50) | {1.5 - thesis['mean']:.4g} | {p:.2f} |" in text
    )
    assert (
        "2 trials. Time of all trials together, one thread each: pruning 1.5 min. Training of "
        "their 1 network, wherever that was done, took 1.0 min, measuring importances 1.5 min."
        in text
    )


def tables_of(sweeps: Path, name: str, **tables: pd.DataFrame) -> Path:
    """Make the folder of a sweep of chapter 4 with tables; return the folder of sweeps."""
    folder = SweepFolder(sweeps / name)
    with folder.owned(load_sweep(KEPT.parent / f"{name}.yaml")):
        folder.tables.mkdir(exist_ok=True)
    for table, rows in tables.items():
        rows.to_csv(folder.tables / f"{table}.csv", index=False)
    return sweeps


def trials(settings: list[str], seeds: int, **columns: object) -> pd.DataFrame:
    """Give rows of trials, setting by setting; their digests all look like numbers."""
    rows = pd.DataFrame(
        [{"setting": setting, "seed": seed} for setting in settings for seed in range(seeds)]
    )
    network = [f"{number:04d}" for number in range(len(rows))]
    return rows.assign(network=network, computed_by="1e5", device="cpu", **columns)


def test_trials_of_another_day_count_as_if_one_sweep_had_made_them(tmp_path: Path) -> None:
    """Three seeds of two settings; one trial of the first day is done again on the next."""
    change = RANDOM.normal(0.05, 0.01, 6)
    rows = trials(["mnist_train", "fashion_mnist_train"], 3, **{"test.loss_change": change})
    first, again = rows.iloc[[0, 1]].copy(), rows.iloc[[5, 3, 4, 2, 1]]
    first.loc[1, "test.loss_change"] = 99.0
    for day in (first, again):
        keep(tables_of(tmp_path / "sweeps", "4_5_ann", trials=day), tmp_path / "kept")
    keep(tables_of(tmp_path / "whole", "4_5_ann", trials=rows), tmp_path / "at_once")
    pd.testing.assert_frame_equal(trials_of("4_5_ann", tmp_path / "kept"), rows, check_exact=True)
    assert list(sections(tmp_path / "kept")) == list(sections(tmp_path / "at_once"))


def test_repetitions_of_a_setting_are_kept_each(tmp_path: Path) -> None:
    draws = [4, 0, 19]
    rows = trials(["mnist,nodes_at_a_time=8"], 1).loc[[0, 0, 0]]
    rows = rows.assign(**{"pruning.draw": draws, "removed": [5, 0, 2]})
    for _ in range(2):
        tables_of(tmp_path / "sweeps", "4_1_random_improving", trials=rows)
        keep(tmp_path / "sweeps", tmp_path / "kept")
    kept = trials_of("4_1_random_improving", tmp_path / "kept")
    assert kept[["pruning.draw", "removed"]].values.tolist() == [[0, 0], [4, 5], [19, 2]]


def test_kept_draws_are_set_beside_the_thesis_too(tmp_path: Path) -> None:
    """Means of 1,000 draws, a tenth of a standard deviation apart: p by hand."""
    path = KEPT.parent / "published" / "4_1_random_removal.csv"
    thesis = pd.read_csv(path).query("setting == 'mnist' and nodes == 8 and quantity == 'loss'")
    own = thesis.drop(columns="source").assign(seed=0, mean=thesis["mean"] + thesis["std"] / 10)
    name, rows = "4_1_random_removal", trials(["mnist"], 1)
    keep(tables_of(tmp_path, name, trials=rows, random_removal=own), tmp_path / "kept")
    (row,) = comparison_of(name, tmp_path / "kept").to_dict("records")
    t = 0.1 / np.sqrt(2 / 1000)
    assert (row["nodes"], row["published.count"]) == (8, 1000)
    assert row["p"] == pytest.approx(2 * stats.t.sf(t, 2 * 999))


def test_trials_that_do_not_belong_beside_the_kept_ones_are_refused(tmp_path: Path) -> None:
    with pytest.raises(LaboratoryError, match="no tables of a sweep of chapter 4"):
        keep(tmp_path / "nowhere", tmp_path / "kept")
    rows = trials(["mnist_train"], 1, **{"test.loss_change": 0.5})
    keep(tables_of(tmp_path / "a", "4_5_ann", trials=rows), tmp_path / "kept")
    kept = (tmp_path / "kept" / "4_5_ann.csv").read_bytes()
    later = tables_of(tmp_path / "b", "4_5_ann", trials=rows.assign(computed_by="2e5"))
    with pytest.raises(LaboratoryError, match="1e5; 2e5"):
        keep(later, tmp_path / "kept")
    other = tables_of(tmp_path / "c", "4_5_ann", trials=rows)
    record = SweepFolder(other / "4_5_ann").record
    record.write_text(
        record.read_text().replace('training.max_epochs": 5', 'training.max_epochs": 1')
    )
    with pytest.raises(RunFolderError, match="max_epochs"):
        keep(other, tmp_path / "kept")
    assert (tmp_path / "kept" / "4_5_ann.csv").read_bytes() == kept


def test_the_document_holds_what_the_kept_trials_say() -> None:
    document = (KEPT.parents[2] / "docs" / "chapter4.md").read_text(encoding="utf-8")
    of_sweeps = [text for text in sections() if text.startswith("| setting")]
    of_findings = [line for text in sections() for line in text.splitlines() if "| 4_" in line]
    assert len(of_sweeps) == len(kept_names())
    for part in (*of_sweeps, *of_findings):
        assert part in document
