"""The record as plain tables for other programs: one line a value, full precision, no formatting.

Empty fields are quantities that cannot be computed or were not measured.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple, fields
from typing import Any

from pydantic import BaseModel

from kvasir_prune.data.findings import Finding, LeakedPair
from kvasir_prune.evaluation.calibration import CalibrationBin
from kvasir_prune.evaluation.comparison import ClassComparison, Comparison
from kvasir_prune.evaluation.flips import Flip
from kvasir_prune.evaluation.latency import Latency
from kvasir_prune.report.schema import Assessment, Epoch, Layer, Record
from kvasir_prune.types import SPLITS

MOMENTS = ("before", "after")
METRICS_HEAD = "scope,name,metric,quantity,value,low,high"
TESTS_HEAD = "scope,name,test,lost,gained,statistic,degrees_of_freedom,p,p_holm"


def csv_tables(record: Record) -> dict[str, str]:
    """Return the texts of CSV files by name: those of the tables, and of the data of the figures.

    `metrics`, `tests`, `calibration` and `flips` are absent without test images.
    """
    results, judged = record.results, record.results.assessment
    found = {
        "confusion": csv_text("split,moment,actual,predicted,images", _confusion(record)),
        "latency": csv_text(
            ",".join(f.name for f in fields(Latency)), map(astuple, record.provenance.latency)
        ),
        "layers": _parts(Layer, results.layers),
        "evolution": csv_text("removed,layer,split,loss,accuracy", _evolution(record)),
        "findings": _parts(Finding, results.data_check.findings),
        "leaked_pairs": _parts(LeakedPair, results.data_check.leaked_pairs),
        "training": _parts(Epoch, results.training.epochs),
    }
    if judged is not None:
        scopes = scopes_of(judged)
        found |= {
            "metrics": csv_text(METRICS_HEAD, metrics_of(judged.comparison, scopes)),
            "tests": csv_text(TESTS_HEAD, tests_of(judged.comparison, scopes)),
            "calibration": csv_text(
                "moment," + ",".join(f.name for f in fields(CalibrationBin)),
                _calibration(judged.comparison),
            ),
            "flips": csv_text(",".join(f.name for f in fields(Flip)), map(astuple, judged.flips)),
        }
    return found


def _parts(kind: type[BaseModel], parts: Iterable[BaseModel]) -> str:
    return csv_text(",".join(kind.model_fields), (vars(part).values() for part in parts))


def csv_text(header: str, lines: Iterable[Iterable[Any]]) -> str:
    """Return the text of a CSV file; `header` has its names, parted by commas."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(header.split(","))
    writer.writerows(lines)
    return stream.getvalue()


def _confusion(record: Record) -> Iterator[Sequence[Any]]:
    names = record.results.classes
    for split, found in record.results.splits.items():
        for moment in MOMENTS:
            for actual, row in zip(names, getattr(found, moment).confusion_matrix, strict=True):
                for predicted, images in zip(names, row, strict=True):
                    yield split, moment, actual, predicted, images


def _evolution(record: Record) -> Iterator[Sequence[Any]]:
    for point in record.results.evolution:
        for split in SPLITS:
            measured = getattr(point, split)
            yield point.removed, point.layer, split, measured.loss, measured.accuracy


def scopes_of(judged: Assessment) -> dict[str, Comparison]:
    """Return the comparisons of parts of an assessment by the word for such a part."""
    found = {"class": judged.comparison}
    if judged.grouped is not None:
        found["group"] = judged.grouped.comparison
    if judged.detection is not None:
        found["detection"] = judged.detection.comparison
    return found


def metrics_of(whole: Comparison, scopes: dict[str, Comparison]) -> Iterator[Sequence[Any]]:
    """Yield the lines headed `METRICS_HEAD`: those of all images, then those of the parts."""
    of_classes = ((scope, one.name, one.metrics) for scope, one in _classes(scopes))
    for scope, name, metrics in (("all", "", whole.overall), *of_classes):
        for metric, change in metrics.items():
            for quantity in (*MOMENTS, "difference"):
                yield scope, name, metric, quantity, *astuple(getattr(change, quantity))


def tests_of(whole: Comparison, scopes: dict[str, Comparison]) -> Iterator[Sequence[Any]]:
    """Yield the lines headed `TESTS_HEAD`: those of all images, then those of the parts."""
    shifts = {"stuart-maxwell": whole.homogeneity, "bowker": whole.symmetry}
    for name, shift in shifts.items():
        yield "all", "", name, None, None, *astuple(shift), None
    of_classes = ((scope, one.name, one.mcnemar) for scope, one in _classes(scopes))
    for scope, name, test in (("all", "", whole.mcnemar), *of_classes):
        yield scope, name, "mcnemar", test.lost, test.gained, None, None, test.p, test.p_holm


def _classes(scopes: dict[str, Comparison]) -> Iterator[tuple[str, ClassComparison]]:
    """Yield every class and every group of classes, with the word for which it is."""
    for scope, comparison in scopes.items():
        for one in comparison.classes:
            yield scope, one


def _calibration(whole: Comparison) -> Iterator[Sequence[Any]]:
    for moment, bins in zip(
        MOMENTS, (whole.calibration_before, whole.calibration_after), strict=True
    ):
        for one in bins:
            yield moment, *astuple(one)
