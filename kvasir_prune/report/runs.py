"""The renderings of several runs side by side."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kvasir_prune.evaluation.performance import OVERALL
from kvasir_prune.publish import publish_text
from kvasir_prune.report import captions, html, markdown, notation
from kvasir_prune.report.judgement import METRICS
from kvasir_prune.report.side_by_side import ComparedRun, SideBySide
from kvasir_prune.report.tables import Column, Row, Table, columns

RUNS_FILES = ("runs.html", "runs.md", "runs.json")


def write_runs(found: SideBySide, folder: Path) -> Path:
    """Publish `runs.html`, `runs.md` and `runs.json`.

    Args:
        found: what to say.
        folder: existing folder; earlier renderings in it are replaced.

    Returns:
        Path of the HTML file.
    """
    values: dict[str, Any] = {
        "title": " | ".join(notation.printable(run.folder) for run in found.runs),
        "sentences": list(_sentences(found)),
        "tables": [_settings(found), _outcome(found), *_against_first(found)],
        "note": captions.note,
    }
    publish_text(folder / "runs.md", markdown.render_template("runs.md.j2", values))
    publish_text(folder / "runs.html", html.render_template("runs.html.j2", values))
    publish_text(folder / "runs.json", found.model_dump_json(indent=2) + "\n")
    return folder / "runs.html"


def _sentences(found: SideBySide) -> Iterator[str]:
    for run in found.runs:
        if run.not_paired:
            yield captions.note(
                "not_paired", run=notation.printable(run.folder), why=run.not_paired
            )


def _settings(found: SideBySide) -> Table:
    texts = ("Strategy", "Judged on")
    return Table(
        "run_settings",
        captions.of_table("run_settings"),
        (
            Column("Run", is_text=True),
            *(Column(head, is_text=True) for head in texts),
            *columns("", "seed", "important below", "left alone below", "removed", "share")[1:],
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
        notation.DASH if ignored is None else notation.threshold(ignored),
        notation.count(choice.removed),
        f"{notation.percent(choice.removed / nodes, 1)}%" if nodes else notation.DASH,
    )


def _outcome(found: SideBySide) -> Table:
    return Table(
        "run_outcome",
        captions.of_table("run_outcome"),
        (
            *columns("Run", "parameters", "FLOPs"),
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


def _against_first(found: SideBySide) -> Iterator[Table]:
    """Yield the differences to the first run, a column for every other run on the same images."""
    paired = {run.folder: run.against_first for run in found.runs if run.against_first is not None}
    if not paired:
        return
    yield Table(
        "run_differences",
        captions.of_table("run_differences"),
        columns("Metric", *map(notation.printable, paired)),
        (
            *(
                (
                    metric.head,
                    *(
                        notation.estimate(beside.overall[name].difference, metric.signed)
                        for beside in paired.values()
                    ),
                )
                for name, metric in METRICS.items()
                if name in OVERALL
            ),
            ("Images lost", *(notation.count(beside.mcnemar.lost) for beside in paired.values())),
            (
                "Images gained",
                *(notation.count(beside.mcnemar.gained) for beside in paired.values()),
            ),
            ("McNemar p", *(notation.p_value(beside.mcnemar.p_holm) for beside in paired.values())),
        ),
    )
