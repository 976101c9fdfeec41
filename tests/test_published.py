"""Published statistics beside those of a sweep."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from scipy import stats

from kvasir_prune.config.sweep import load_sweep
from kvasir_prune.errors import ConfigError, LaboratoryError
from kvasir_prune.laboratory.page import families_of, family_of, publish_page
from kvasir_prune.laboratory.published import beside, read_published
from kvasir_prune.laboratory.tables import draws_summary, summary_of
from kvasir_prune.laboratory.trial import trials_of
from tests.cli_runs import DIGITS
from tests.test_house import ROOT

RUN = {key: value for key, value in DIGITS.items() if key != "name"}
HEAD = "setting,quantity,count,mean,std,min,25%,50%,75%,max,source\n"


def trials(**quantities: list[float]) -> pd.DataFrame:
    rows = pd.DataFrame(quantities)
    return rows.assign(setting="a", seed=range(len(rows)))


def published(samples: dict[str, np.ndarray], setting: str = "a") -> pd.DataFrame:
    rows = [
        {"setting": setting, "quantity": name, **pd.Series(values).describe(), "source": "Table 1"}
        for name, values in samples.items()
    ]
    return pd.DataFrame(rows)


def test_means_are_compared_by_welch_and_adjusted_after_holm() -> None:
    """Against SciPy's test of the samples themselves; Holm's adjustment by hand."""
    random = np.random.default_rng(5)
    ours = {name: random.normal(shift, 2, 12) for name, shift in (("x", 0), ("y", 3), ("z", 9))}
    others = {name: random.normal(1, spread, 30) for name, spread in (("x", 1), ("y", 4), ("z", 2))}
    found = beside(summary_of(trials(**ours)), published(others)).set_index("quantity")
    p = {name: stats.ttest_ind(ours[name], others[name], equal_var=False).pvalue for name in ours}
    assert found["p"].to_dict() == pytest.approx(p)
    steps = sorted(p.values())
    first = min(1, 3 * steps[0])
    second = max(first, min(1, 2 * steps[1]))
    third = max(second, steps[2])
    assert sorted(found["p_holm"]) == pytest.approx([first, second, third])
    for name, sample in ours.items():
        difference = sample.mean() - others[name].mean()
        assert found.loc[name, "difference"] == pytest.approx(difference)


def test_where_nothing_varies_or_a_spread_is_not_told_there_is_no_p() -> None:
    told = published({"x": np.full(5, 2.0), "y": np.arange(5.0), "z": np.arange(5.0)})
    told.loc[told["quantity"] == "y", "std"] = np.nan
    summary = summary_of(trials(x=[2.0, 2.0], y=[1.0, 2.0], z=[1.0, 2.0]))
    found = beside(summary, told).set_index("quantity")
    assert found["p"].isna().to_dict() == {"x": True, "y": True, "z": False}
    # A mean of 25 equal numbers, and so their spread, is off by a rounding.
    constant = trials(x=[0.1135] * 25)
    assert beside(summary_of(constant), published({"x": np.full(25, 0.1135)}))["p"].isna().all()
    assert found.loc["z", "p_holm"] == found.loc["z", "p"]


def test_random_removal_is_compared_at_each_number_of_nodes() -> None:
    draws = pd.DataFrame(
        {
            "setting": "a",
            "seed": 0,
            "nodes": [1, 1, 2, 2],
            "number": [0, 1, 0, 1],
            "loss": [0.1, 0.3, 0.4, 0.8],
            "accuracy": [0.9, 0.8, 0.7, 0.6],
        }
    )
    told = published({"loss": np.array([0.2, 0.4])}).assign(nodes=2)
    found = beside(draws_summary(draws), told)
    assert found[["nodes", "mean", "published.mean"]].to_numpy().tolist() == [
        pytest.approx([2, 0.6, 0.3])
    ]


@pytest.mark.parametrize(
    ("text", "facts"),
    [
        (None, ("No such file", "leave `published` out")),
        ("", ("CSV file",)),
        ("setting,mean\na,1\n", ("no column quantity", "source")),
        (HEAD + "b,x,1,2,,,,,,,T\n", ("the setting b", "one of a", "--only SETTING")),
        (HEAD + "a,x,1,2,,,,,,,T\na,x,1,2,,,,,,,T\n", ("line 3 speaks of the same",)),
        (HEAD + "a,x,1,many,,,,,,,T\n", ("no mean in line 2",)),
    ],
)
def test_a_file_that_cannot_be_used_is_refused(tmp_path: Path, text: str | None, facts) -> None:
    path = tmp_path / "published.csv"
    if text is not None:
        path.write_text(text)
    with pytest.raises(LaboratoryError) as caught:
        read_published(path, ["a"])
    assert str(path) in str(caught.value)
    for fact in facts:
        assert fact in str(caught.value)


def test_what_the_thesis_found_is_of_settings_and_quantities_that_the_sweeps_have() -> None:
    quantity = re.compile(
        r"(important|zero|worse)\.(dense|conv)\d"
        r"|mean_importance_of_(important|zero|worse)\.(dense|conv)\d"
        r"|removed(\.(dense|conv)\d)?|seconds\.(train|prune)"
        r"|test\.(loss|accuracy)_(before|after|change)|test\.accuracy_(before|after)\.[\w /-]+"
        r"|loss|accuracy"
    )
    pages = sorted((ROOT / "configs" / "chapter4").glob("*.yaml"))
    assert len(pages) == 22
    for page in pages:
        sweep = load_sweep(page)
        assert sweep.published is not None
        rows = read_published(sweep.published, [setting.group for setting in sweep.settings])
        assert len(rows) > 5
        foreign = [name for name in rows["quantity"] if not quantity.fullmatch(name)]
        assert not foreign, f"{page.name}: {foreign[:3]}"
        ordered = rows[["min", "25%", "50%", "75%", "max"]].dropna()
        assert (ordered.diff(axis=1).iloc[:, 1:] >= -1e-9).all().all(), page.name
        inside = rows.dropna(subset=["min", "max"])
        assert inside["mean"].between(inside["min"] - 1e-9, inside["max"] + 1e-9).all(), page.name


def test_repetitions_share_a_row_of_the_summary_and_not_a_folder(tmp_path: Path) -> None:
    sweep = {
        "name": "tiny",
        "run": {**RUN, "pruning": {"strategy": "random", "nodes": 3}},
        "grid": {"pruning.nodes": [3, 5], "pruning.draw": [0, 1, 2]},
        "repeated": ["pruning.draw"],
    }
    (tmp_path / "sweep.yaml").write_text(yaml.safe_dump(sweep))
    found = load_sweep(tmp_path / "sweep.yaml")
    made = list(trials_of(found, tmp_path / "trials", tmp_path / "shared"))
    assert sorted(trial.group for trial in made) == ["nodes=3"] * 3 + ["nodes=5"] * 3
    assert len({trial.folder.path for trial in made}) == 6
    (tmp_path / "sweep.yaml").write_text(yaml.safe_dump({**sweep, "repeated": ["seed"]}))
    with pytest.raises(ConfigError, match="seed, which is no key of the grid"):
        load_sweep(tmp_path / "sweep.yaml")


def test_the_page_sets_published_results_beside_ours(tmp_path: Path) -> None:
    rows = trials(removed=[3.0, 5.0], **{"test.loss_change": [-0.25, 0.5], "elsewhere": [1.0, 2.0]})
    summary = summary_of(rows)
    told = beside(summary, published({"removed": np.array([1.0, 2.0, 3.0])}))
    families = {name: list(members) for name, members in families_of(summary, told)}
    assert families == {"removed": ["removed"], "test.loss": ["test.loss_change"]}
    assert family_of("test.accuracy_before.cat") == "test.accuracy_before"
    assert family_of("mean_importance_of_worse.dense1") == "mean_importance_of_worse"
    publish_page(
        tmp_path, title="tiny", lead="A lead.", summary=summary, comparison=told, trials=rows
    )
    text = (tmp_path / "sweep.md").read_text()
    lines = [line.split("|")[1:-1] for line in text.splitlines() if line.startswith("| a ")]
    ours, theirs, *_ = lines
    assert [cell.strip() for cell in ours[:5]] == ["a", "here", "2", "4", "1.414"]
    assert [cell.strip() for cell in theirs[:5]] == ["a", "published", "3", "2", "1"]
    assert ours[10].strip() == "2"
    page = (tmp_path / "sweep.html").read_text()
    assert page.count("<svg") == len(list((tmp_path / "figures").glob("*.svg"))) == 3
    assert "elsewhere" not in page


def test_a_figure_has_the_settings_in_the_order_of_the_sweep_and_says_what_differs_by_panel(
    tmp_path: Path,
) -> None:
    """The second setting has no node of the first quantity, and so no mean of them."""
    zero = "mean_importance_of_zero"
    columns = {f"{zero}.conv1": [1.0, None, 2.0], f"{zero}.conv2": [1.0, 3.0, 2.0]}
    rows = trials(**columns).assign(setting=["first", "second", "third"])
    summary = summary_of(rows)
    told = beside(summary, published({name: np.ones(3) for name in columns}, "first"))
    publish_page(tmp_path, title="t", lead="", summary=summary, comparison=told, trials=rows)
    svg = (tmp_path / "figures" / f"family_{zero}.svg").read_text()
    words = re.findall(r">([a-z]+[0-9]?)</text>", svg)
    assert words == ["first", "second", "third", "conv1", "conv2"]
    assert f">{zero}<" in (tmp_path / "sweep.html").read_text()
