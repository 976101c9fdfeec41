"""Several runs side by side: what they removed, what it saved, how they judge the same images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from kvasir_prune.data.listing import Listing
from kvasir_prune.evaluation.answers import Answers
from kvasir_prune.evaluation.comparison import Comparison, compare
from kvasir_prune.evaluation.non_inferiority import Verdict
from kvasir_prune.evaluation.significance import holm
from kvasir_prune.report.assessment import verdicts
from kvasir_prune.report.logits import read_logits
from kvasir_prune.report.schema import Part, Record, read_record
from kvasir_prune.types import TEST


class AgainstFirst(Part):
    """The pruned network of one run beside that of the first, on the same test images.

    In `comparison` the first run's network is the one before. Its McNemar tests are adjusted after
    Holm for all runs that are compared with the first: that of all images for the runs, those of
    the classes for every class of every run. `verdicts` are by the margin of the first run, empty
    where it has none.
    """

    comparison: Comparison
    verdicts: dict[str, Verdict]


class ComparedRun(Part):
    """One of several runs; `not_paired` says why it is not compared image by image."""

    folder: str
    record: Record
    against_first: AgainstFirst | None
    not_paired: str | None


class SideBySide(Part):
    """The whole of `runs.json`; all runs are compared with the first."""

    schema_version: Literal[2] = 2
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
        why = _other_images(record.provenance.seed, reference.provenance.seed)
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
        against = AgainstFirst(comparison=found, verdicts=verdicts(found, _margin(reference)))
    return ComparedRun(folder=run.folder, record=record, against_first=against, not_paired=why)


def _other_images(seed: int, reference: int) -> str:
    why = "its test images are others"
    return (
        why if seed == reference else f"{why} (its seed is {seed}, that of the first {reference})"
    )


def _margin(record: Record) -> float | None:
    judged = record.results.assessment
    margins = [] if judged is None else [verdict.margin for verdict in judged.verdicts.values()]
    return margins[0] if margins else None


def _adjusted(runs: Sequence[ComparedRun]) -> list[ComparedRun]:
    """Adjust the tests of all runs for each other."""
    found = [run.against_first.comparison for run in runs if run.against_first is not None]
    overall = iter(holm([one.mcnemar for one in found]))
    of_classes = iter(
        holm([part.mcnemar if part.images else None for one in found for part in one.classes])
    )
    adjusted = (
        replace(
            one,
            mcnemar=next(overall) or one.mcnemar,
            classes=[
                replace(part, mcnemar=next(of_classes) or part.mcnemar) for part in one.classes
            ],
        )
        for one in found
    )
    return [
        run
        if run.against_first is None
        else run.model_copy(
            update={
                "against_first": run.against_first.model_copy(update={"comparison": next(adjusted)})
            }
        )
        for run in runs
    ]
