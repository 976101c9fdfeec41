"""A benchmark from beginning to end: exact cold, exact warm, peak memory, reference."""

from __future__ import annotations

import resource
import sys
import time
from dataclasses import dataclass
from statistics import median

from benchmarks.limit import matrix_multiply_rate, multiply_adds_of, share_of_limit
from benchmarks.problem import Problem
from benchmarks.reference_run import reference_of
from benchmarks.report import Report
from benchmarks.suites import Suite
from benchmarks.trace import Job, job
from kvasir_prune import backend
from kvasir_prune.experiment.planner import LayerPlan, Planner
from kvasir_prune.progress import Progress

WARM_S, MOST_WARM = 5.0, 9
"""Warm jobs are repeated until they took so long together, or are so many."""


def peak_memory_gib() -> float:
    """Return the high-water mark of this process's resident memory in GiB."""
    unit = 2**30 if sys.platform == "darwin" else 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


@dataclass(frozen=True)
class _Measured:
    """The first job of a process and those after it.

    Attributes:
        cold: the first job.
        peak_memory_gib: after it; what is written down of later ones is no part of a run.
        warm: the jobs after it.
        multiply_adds: of one of these.
    """

    cold: Job
    peak_memory_gib: float
    warm: tuple[Job, ...]
    multiply_adds: int | None


def _measured(problem: Problem, progress: Progress) -> _Measured:
    """Prune with a new scorer, its making counted, and again with the same one, compiled by now.

    Jobs that are over soon are repeated: other work on the machine may double one of them.
    """
    began = time.perf_counter()
    scorer = problem.scorer()
    name, strategy, layers = problem.config.importance.scorer, problem.strategy(), problem.layers
    cold = job(scorer, strategy, layers, title=f"{name}, cold", progress=progress, began=began)
    peak = peak_memory_gib()
    before = multiply_adds_of(scorer)
    warm = [job(scorer, strategy, layers, title=f"{name}, warm", progress=progress)]
    after = multiply_adds_of(scorer)
    while sum(one.seconds for one in warm) < WARM_S and len(warm) < MOST_WARM:
        warm.append(job(scorer, strategy, layers, title=f"{name}, warm", progress=progress))
    difference = None if before is None or after is None else after - before
    return _Measured(cold, peak, tuple(warm), difference)


def _planned(problem: Problem, progress: Progress) -> tuple[LayerPlan, ...]:
    """Return what `kvasir-prune plan` would have said of pruning the trained network."""
    config = problem.config
    only = config.importance.model_copy(update={"layers": config.pruning.layers})
    splits = [len(rows) for rows in problem.dataset.rows.values()]
    planner = Planner(
        config.model_copy(update={"importance": only}),
        problem.chain,
        problem.scoring_set,
        splits=splits,
        store=None,
        progress=progress,
    )
    return planner.layers()


def benchmark(
    suite: Suite, problem: Problem, *, full: bool, threads: int, progress: Progress
) -> Report:
    """Measure one suite.

    Args:
        suite: how it is measured.
        problem: what is pruned.
        full: run the literal way in full, however long it takes.
        threads: that the backend was given.
        progress: told of everything that takes long.
    """
    rate = matrix_multiply_rate()
    measured = _measured(problem, progress)
    # Other work on the machine may slow one of the two measurements down.
    rate = max(rate, matrix_multiply_rate())
    cold, warm, multiply_adds = measured.cold, measured.warm[0], measured.multiply_adds
    seconds = median(one.seconds for one in measured.warm)
    planned = _planned(problem, progress)
    finding = reference_of(suite, problem, warm, full=full, progress=progress)
    return Report(
        suite=suite.name,
        exact_seconds_cold=cold.seconds,
        exact_seconds_warm=seconds,
        exact_seconds_warm_baseline=warm.baseline_seconds,
        ratio_cold=finding.reference_seconds / cold.seconds,
        ratio_warm=finding.reference_seconds / seconds,
        evaluations=warm.evaluations,
        peak_memory_gib=measured.peak_memory_gib,
        seed=problem.config.seed,
        scorer=problem.config.importance.scorer,
        images=len(problem.scoring_set),
        nodes=sum(layer.nodes for layer in problem.layers),
        nodes_removed=sum(map(len, warm.removed)),
        note=suite.note,
        exact_jobs_warm=len(measured.warm),
        planned_evaluations=sum(layer.evaluations for layer in planned),
        planned_seconds=sum(layer.pruning_s for layer in planned),
        repeatable=all(cold.removed == one.removed for one in measured.warm),
        reference_batch_size=suite.reference_batch_size,
        probes=suite.probes,
        multiply_adds=multiply_adds,
        matrix_multiply_rate=rate,
        share_of_limit=share_of_limit(multiply_adds, seconds, rate),
        threads=threads,
        versions=backend.versions(),
        **vars(finding),
    )
