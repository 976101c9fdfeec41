"""Several runs side by side: what they removed, what it saved, how they judge the same images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from kvasir_prune.data.listing import Listing
from kvasir_prune.evaluation.answers import Answers
from kvasir_prune.evaluation.changes import Change
from kvasir_prune.evaluation.comparison import compare
from kvasir_prune.evaluation.significance import McNemar, holm
from kvasir_prune.report.logits import read_logits
from kvasir_prune.report.schema import Part, Record, read_record
from kvasir_prune.types import TEST


class AgainstFirst(Part):
    """The pruned network of one run beside that of the first, on the same test images.

    `overall` is by metric, its `before` the first run's; `mcnemar` is adjusted after Holm for all
    runs that are compared with the first.
    """

    overall: dict[str, Change]
    mcnemar: McNemar


class ComparedRun(Part):
    """One of several runs; `not_paired` says why it is not compared image by image."""

    folder: str
    record: Record
    against_first: AgainstFirst | None
    not_paired: str | None


class SideBySide(Part):
    """The whole of `runs.json`; all runs are compared with the first."""

    schema_version: Literal[1] = 1
    runs: list[ComparedRun]


@dataclass(frozen=True)
class ReportedRun:
    """A run that has its report.

    Attributes:
        folder: as the user named it.
        report: its `report.json`.
        evaluation: its `evaluation.h5`.
        split: its `split.csv`.
        origin: what its files carry to say that they are its own.
    """

    folder: str
    report: Path
    evaluation: Path
    split: Path
    origin: Mapping[str, str]

    def record(self) -> Record:
        """Read the report; raises `RunFolderError` as `read_record`."""
        return read_record(self.report)

    def tests(self) -> tuple[Listing, Answers]:
        """Read the test images and what the pruned network says of them."""
        evaluation, listing = read_logits(self.evaluation, self.split, self.origin)
        logits = evaluation.splits[TEST]
        return listing.of(TEST), Answers.of(logits.after, logits.labels)


def side_by_side(runs: Sequence[ReportedRun]) -> SideBySide:
    """Compare the pruned network of every run with that of the first.

    Raises:
        RunFolderError: a run has no report.
        LedgerError: a file is damaged.
    """
    first, *others = runs
    reference = first.record()
    briefs = [
        ComparedRun(folder=first.folder, record=reference, against_first=None, not_paired=None)
    ]
    briefs += [_beside(run, first, reference) for run in others]
    return SideBySide(runs=_adjusted(briefs))


def _beside(run: ReportedRun, first: ReportedRun, reference: Record) -> ComparedRun:
    record = run.record()
    (listing, own), (expected, others) = run.tests(), first.tests()
    if record.results.classes != reference.results.classes:
        why: str | None = "its classes are others"
    elif (listing.paths, listing.digests) != (expected.paths, expected.digests):
        why = "its test images are others"
    elif not listing.paths:
        why = "there are no test images"
    else:
        why = None
    against = None
    if why is None:
        found = compare(
            others,
            own,
            record.results.classes,
            groups=expected.units(reference.results.data_check.look_alikes),
            seed=reference.provenance.seed,
        )
        against = AgainstFirst(overall=found.overall, mcnemar=found.mcnemar)
    return ComparedRun(folder=run.folder, record=record, against_first=against, not_paired=why)


def _adjusted(runs: Sequence[ComparedRun]) -> list[ComparedRun]:
    made = [None if run.against_first is None else run.against_first.mcnemar for run in runs]
    tests = holm(made)
    return [
        run
        if run.against_first is None or test is None
        else run.model_copy(
            update={"against_first": run.against_first.model_copy(update={"mcnemar": test})}
        )
        for run, test in zip(runs, tests, strict=True)
    ]
