"""The figures of one suite: for the JSON file and as a table."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from rich.table import Table

from benchmarks.compare import Difference


@dataclass(frozen=True)
class Report:
    """What a benchmark found; seconds are wall-clock, importances and losses nats.

    Attributes:
        suite: its name.
        reference_seconds: the literal way, whole or, over ten minutes, the mean of the even sample
            `reference_evaluations_timed` times `evaluations`.
        exact_seconds_cold: first job of the process: making the scorer, compiling, the baseline.
        exact_seconds_warm: the same job again with the same scorer, whose steps are compiled; the
            median of `exact_jobs_warm`.
        exact_seconds_warm_baseline: of the first warm job, until the loss of the whole network was
            known: a pass of the first prefix.
        ratio_cold, ratio_warm: reference_seconds over these.
        evaluations: candidates whose losses decided; equal for both where `identical`.
        peak_memory_gib: high-water mark of the process after the cold job; holds Python, Keras,
            what is written down of the job and, if it was trained now, the training.
        identical: the list of removed nodes ("full"), or every compared decision ("sample").
        seed, scorer, images, nodes, nodes_removed, note: what was pruned, by what.
        planned_evaluations, planned_seconds: what `kvasir-prune plan` predicts for the pruning of
            the trained network, no importance being measured; compilation included.
        repeatable: whether the cold and all warm jobs removed the same nodes.
        reference: "full" where all its decisions were compared, or "sample".
        reference_part: "whole network", or from which layer on the decisions were checked on
            features computed once; the timing is always that of the whole network.
        reference_batch_size: images per step of `evaluate`.
        reference_evaluations_timed: how many; all, where it was timed whole.
        decisions_compared, decisions_differing: in a sample, how many; in a full run, how many
            up to the first difference.
        nearest_distance: the smallest distance of a compared decision from another outcome.
        reference_error: largest error of the reference's importances against float64, `probes`
            evaluations.
        exact_error: the same of the importances that the exact scorer decided by; null where it
            gave bounds only.
        probes: how many evaluations float64 looked at.
        first_difference: a `Difference`, or null.
        further_differences: in a sample, where every decision is taken anew in a state of the exact
            scorer's, all others; a full run judges another network after the first.
        multiply_adds: of the warm job, counted from shapes by the scorer; null if it does not.
        matrix_multiply_rate: FLOP/s of this machine, the better of before and after the jobs.
        share_of_limit: 2 * multiply_adds / (exact_seconds_warm * matrix_multiply_rate).
        threads, versions: of this process.
    """

    suite: str
    reference_seconds: float
    exact_seconds_cold: float
    exact_seconds_warm: float
    ratio_cold: float
    ratio_warm: float
    evaluations: int
    peak_memory_gib: float
    identical: bool
    seed: int
    scorer: str
    images: int
    nodes: int
    nodes_removed: int
    note: str
    exact_jobs_warm: int
    exact_seconds_warm_baseline: float
    planned_evaluations: float
    planned_seconds: float
    repeatable: bool
    reference: str
    reference_part: str
    reference_batch_size: int
    reference_evaluations_timed: int
    decisions_compared: int
    decisions_differing: int
    nearest_distance: float | None
    reference_error: float
    exact_error: float | None
    probes: int
    first_difference: Difference | None
    further_differences: tuple[Difference, ...]
    multiply_adds: int | None
    matrix_multiply_rate: float
    share_of_limit: float | None
    threads: int
    versions: dict[str, str]

    def json(self) -> dict[str, Any]:
        """Return the figures as JSON has them."""
        return asdict(self)


def table_of(title: str, figures: dict[str, Any]) -> Table:
    """Return two columns; what has parts of its own is spread over rows."""
    table = Table(title=title, show_header=False)
    for name, value in figures.items():
        for key, inner in _spread(name, value):
            table.add_row(key, inner)
    return table


def _spread(name: str, value: object) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _spread(f"{name}.{key}", inner)
    elif isinstance(value, list | tuple):
        for number, inner in enumerate(value):
            yield from _spread(f"{name}.{number}", inner)
    else:
        yield name, _shown(value)


def _shown(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.6g}" if isinstance(value, float) else str(value)
