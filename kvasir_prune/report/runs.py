"""The renderings of several runs side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import astuple
from pathlib import Path
from typing import Any

from kvasir_prune.evaluation.comparison import Comparison
from kvasir_prune.evaluation.non_inferiority import Verdict
from kvasir_prune.evaluation.performance import OVERALL
from kvasir_prune.publish import publish_text
from kvasir_prune.report import captions, html, markdown, notation
from kvasir_prune.report.csv_tables import METRICS_HEAD, TESTS_HEAD, csv_text, metrics_of, tests_of
from kvasir_prune.report.judgement import METRICS, sensitivity_row
from kvasir_prune.report.side_by_side import ComparedRun, SideBySide
from kvasir_prune.report.tables import Column, Row, Table, columns

_CSV = ("runs_metrics", "runs_tests", "runs_verdicts")
RUNS_FILES = ("runs.html", "runs.md", "runs.json", *(f"{name}.csv" for name in _CSV))
ITSELF, FIRST = "itself before pruning", "first run"
"""What a pruned network is compared with."""


def write_runs(found: SideBySide, folder: Path) -> Path:
    """Publish `runs.html`, `runs.md`, `runs.json` and CSV files of metrics, tests and verdicts.

    Args:
        found: what to say.
        folder: existing folder; earlier renderings in it are replaced.

    Returns:
        Path of the HTML file.
    """
    values: dict[str, Any] = {
        "title": " | ".join(notation.printable(run.folder) for run in found.runs),
        "sentences": list(_sentences(found)),
        "tables": list(_tables(found)),
        "note": captions.note,
    }
    publish_text(folder / "runs.md", markdown.render_template("runs.md.j2", values))
    publish_text(folder / "runs.html", html.render_template("runs.html.j2", values))
    for name, text in zip(_CSV, _csv_texts(found), strict=True):
        publish_text(folder / f"{name}.csv", text)
    publish_text(folder / "runs.json", found.model_dump_json(indent=2) + "\n")
    return folder / "runs.html"


def _sentences(found: SideBySide) -> Iterator[str]:
    for run in found.runs:
        if run.not_paired:
            yield captions.note(
                "not_paired", run=notation.printable(run.folder), why=run.not_paired
            )


def _tables(found: SideBySide) -> Iterator[Table]:
    yield _settings(found)
    yield _outcome(found)
    if any(run.against_first for run in found.runs):
        yield _differences(found)
        yield _class_differences(found)
    if any(_comparisons(found)):
        yield _sensitivities(found)
    if rows := tuple(_verdict_rows(found)):
        heads = ("Run", "Compared with", "Metric")
        yield Table(
            "run_verdicts",
            captions.of_table("run_verdicts"),
            (
                *(Column(head, is_text=True) for head in heads),
                *columns("", "may fall by", "change")[1:],
                Column("Verdict", is_text=True),
            ),
            rows,
        )


def _comparisons(found: SideBySide) -> Iterator[tuple[str, str, Comparison, dict[str, Verdict]]]:
    """Yield every comparison with the run it is of and with what it was compared."""
    for run in found.runs:
        own, beside = run.record.results.assessment, run.against_first
        if own is not None:
            yield run.folder, ITSELF, own.comparison, own.verdicts
        if beside is not None:
            yield run.folder, FIRST, beside.comparison, beside.verdicts


def _settings(found: SideBySide) -> Table:
    texts = ("Strategy", "Judged on")
    return Table(
        "run_settings",
        captions.of_table("run_settings"),
        (
            Column("Run", is_text=True),
            *(Column(head, is_text=True) for head in texts),
            *columns("", "seed", "important below", "worse above", "left alone below")[1:],
            *columns("", "nodes", "share", group="Removed")[1:],
        ),
        tuple(map(_settings_row, found.runs)),
    )


def _settings_row(run: ComparedRun) -> Row:
    results, choice = run.record.results, run.record.results.pruning
    nodes = sum(layer.nodes for layer in results.layers)
    ignored = choice.ignore_below
    return (
        notation.printable(run.folder),
        choice.strategy.replace("_", " "),
        "nothing" if choice.chosen_on is None else notation.split_name(choice.chosen_on),
        str(run.record.provenance.seed),
        notation.threshold(choice.low),
        notation.threshold(choice.high),
        notation.DASH if ignored is None else notation.threshold(ignored),
        notation.count(choice.removed),
        f"{notation.percent(choice.removed / nodes, 1)}%" if nodes else notation.DASH,
    )


def _outcome(found: SideBySide) -> Table:
    return Table(
        "run_outcome",
        captions.of_table("run_outcome"),
        (
            *columns("Run", "parameters", "FLOPs", "test images"),
            *columns("", "before", "after", "change", group="Test accuracy (%)")[1:],
        ),
        tuple(map(_outcome_row, found.runs)),
    )


def _outcome_row(run: ComparedRun) -> Row:
    cost, judged = run.record.results.cost, run.record.results.assessment
    change = None if judged is None else judged.comparison.overall["accuracy"]
    return (
        notation.printable(run.folder),
        notation.relative(cost.before.parameters, cost.after.parameters),
        notation.relative(cost.before.flops, cost.after.flops),
        notation.DASH if judged is None else notation.count(judged.comparison.images),
        *(
            (notation.DASH,) * 3
            if change is None
            else (
                notation.estimate(change.before, notation.tenths),
                notation.estimate(change.after, notation.tenths),
                notation.estimate(change.difference, notation.signed_tenths),
            )
        ),
    )


def _differences(found: SideBySide) -> Table:
    """Return the differences to the first run, a column for every other run on the same images."""
    paired = [(run.folder, run.against_first.comparison) for run in found.runs if run.against_first]
    besides = [comparison for _, comparison in paired]
    lines: dict[str, Callable[[Comparison], str]] = {
        "Images lost": lambda one: notation.count(one.mcnemar.lost),
        "Images gained": lambda one: notation.count(one.mcnemar.gained),
        "McNemar p": lambda one: notation.p_value(one.mcnemar.p_holm),
        "Stuart-Maxwell p": lambda one: notation.p_value(one.homogeneity.p),
        "Bowker p": lambda one: notation.p_value(one.symmetry.p),
    }
    return Table(
        "run_differences",
        captions.of_table("run_differences"),
        columns("Metric", *(notation.printable(folder) for folder, _ in paired)),
        (
            *(_difference_row(name, besides) for name in METRICS if name in OVERALL),
            *((head, *map(write, besides)) for head, write in lines.items()),
        ),
    )


def _difference_row(name: str, besides: Sequence[Comparison]) -> Row:
    metric = METRICS[name]
    differences = (one.overall[name].difference for one in besides)
    return (metric.head, *(notation.estimate(each, metric.signed) for each in differences))


def _class_differences(found: SideBySide) -> Table:
    return _by_class(
        "run_class_differences",
        found,
        FIRST,
        (
            *columns("", "first run", "this run", "difference", group="Sensitivity (%)")[1:],
            *columns("", "lost", "gained", "p", group="Flips")[1:],
        ),
    )


def _sensitivities(found: SideBySide) -> Table:
    return _by_class(
        "run_sensitivities",
        found,
        ITSELF,
        (
            *columns("", "before", "after", "change", group="Sensitivity (%)")[1:],
            *columns("", "lost", "gained", "p", group="Flips")[1:],
        ),
    )


def _by_class(key: str, found: SideBySide, beside: str, heads: tuple[Column, ...]) -> Table:
    """Return a line for every class and run that was compared with `beside`, class by class."""
    lines = [
        (one, run)
        for run, compared_with, comparison, _ in _comparisons(found)
        if compared_with == beside
        for one in comparison.classes
    ]
    order = list(dict.fromkeys(one.name for one, _ in lines))
    return Table(
        key,
        captions.of_table(key),
        (
            Column("Class", is_text=True),
            Column("Run", is_text=True),
            *columns("", "images")[1:],
            *heads,
        ),
        tuple(
            (name, notation.printable(run), *cells)
            for one, run in sorted(lines, key=lambda line: order.index(line[0].name))
            for name, *cells in [sensitivity_row(one)]
        ),
    )


def _verdict_rows(found: SideBySide) -> Iterator[Row]:
    for run, beside, _, verdicts in _comparisons(found):
        for metric, verdict in verdicts.items():
            yield (
                notation.printable(run),
                beside,
                metric.replace("_", " "),
                notation.tenths(verdict.margin),
                notation.estimate(verdict.difference, notation.signed_tenths),
                verdict.finding,
            )


def _csv_texts(found: SideBySide) -> Iterator[str]:
    """Yield metrics, tests and verdicts, each line with the run and what it was compared with."""
    known = [
        (run, beside, comparison, verdicts, {"class": comparison})
        for run, beside, comparison, verdicts in _comparisons(found)
    ]
    yield csv_text(
        f"run,against,{METRICS_HEAD}",
        ((run, to, *line) for run, to, one, _, parts in known for line in metrics_of(one, parts)),
    )
    yield csv_text(
        f"run,against,{TESTS_HEAD}",
        ((run, to, *line) for run, to, one, _, parts in known for line in tests_of(one, parts)),
    )
    yield csv_text(
        "run,against,metric,margin,value,low,high,finding",
        (
            (run, to, metric, verdict.margin, *astuple(verdict.difference), verdict.finding)
            for run, to, _, verdicts, _ in known
            for metric, verdict in verdicts.items()
        ),
    )
