"""The stages by name, and the first of them, which needs no Keras."""

from __future__ import annotations

from enum import StrEnum

from kvasir_prune.evaluation.class_groups import named_groups
from kvasir_prune.experiment.checking import check_data
from kvasir_prune.experiment.context import Run


class Stage(StrEnum):
    """What a run goes through."""

    DATA = "data"
    TRAIN = "train"
    IMPORTANCE = "importance"
    PRUNE = "prune"
    EVALUATE = "evaluate"
    REPORT = "report"


def prepare_data(run: Run) -> None:
    """Read, decode, divide, cache and check the images; say which checks failed."""
    dataset = run.dataset
    named_groups(dataset.classes, run.config.report, where="report.class_groups")
    counts = ", ".join(f"{len(rows)} {name}" for name, rows in dataset.rows.items())
    run.progress.note(f"Images: {counts}; {len(dataset.classes)} classes")
    for finding in check_data(run).findings:
        if finding.outcome == "failed":
            run.progress.note(f"{finding.title}: {finding.sentence}")
