"""A benchmark from beginning to end: exact cold, exact warm, peak memory, reference."""

from __future__ import annotations

import resource
import sys
import time

from benchmarks.limit import matrix_multiply_rate, multiply_adds_of, share_of_limit
from benchmarks.problem import Problem
from benchmarks.reference_run import reference_of
from benchmarks.report import Report
from benchmarks.suites import Suite
from benchmarks.trace import Job, job
from kvasir_prune import backend
from kvasir_prune.importance.scorer import Scorer
from kvasir_prune.importance.scorers import SCORERS
from kvasir_prune.progress import Progress


def scorer_of(problem: Problem, name: str) -> Scorer:
    """Make one of `SCORERS` for a problem, with the batch size and budget of its configuration."""
    settings = problem.config.importance
    return SCORERS[name](
        problem.chain,
        problem.images,
        problem.rows,
        problem.labels,
        batch_size=settings.batch_size,
        memory_budget_gib=settings.memory_budget_gib,
    )


def peak_memory_gib() -> float:
    """Return the high-water mark of this process's resident memory in GiB."""
    unit = 2**30 if sys.platform == "darwin" else 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def _twice(problem: Problem, name: str, progress: Progress) -> tuple[Job, Job, int | None]:
    """Prune with a new scorer, its making counted, and again with the same one, compiled by now.

    Returns:
        Both jobs, and the multiply-adds of the second.
    """
    began = time.perf_counter()
    scorer = scorer_of(problem, name)
    strategy, layers = problem.strategy(), problem.layers
    cold = job(scorer, strategy, layers, title=f"{name}, cold", progress=progress, began=began)
    before = multiply_adds_of(scorer)
    warm = job(scorer, problem.strategy(), layers, title=f"{name}, warm", progress=progress)
    after = multiply_adds_of(scorer)
    return cold, warm, None if before is None or after is None else after - before


def benchmark(
    suite: Suite, problem: Problem, *, scorer: str, full: bool, threads: int, progress: Progress
) -> Report:
    """Measure one suite.

    Args:
        suite: how it is measured.
        problem: what is pruned.
        scorer: key of `SCORERS`, what stands beside the literal way.
        full: run the literal way in full, however long it takes.
        threads: that the backend was given.
        progress: told of everything that takes long.
    """
    cold, warm, multiply_adds = _twice(problem, scorer, progress)
    peak = peak_memory_gib()
    rate = matrix_multiply_rate()
    finding = reference_of(suite, problem, warm, full=full, progress=progress)
    return Report(
        suite=suite.name,
        exact_seconds_cold=cold.seconds,
        exact_seconds_warm=warm.seconds,
        ratio_cold=finding.reference_seconds / cold.seconds,
        ratio_warm=finding.reference_seconds / warm.seconds,
        evaluations=warm.evaluations,
        peak_memory_gib=peak,
        seed=problem.config.seed,
        scorer=scorer,
        images=len(problem.rows),
        nodes=sum(layer.nodes for layer in problem.layers),
        nodes_removed=sum(map(len, warm.removed)),
        note=suite.note,
        repeatable=cold.removed == warm.removed,
        reference_batch_size=suite.reference_batch_size,
        probes=suite.probes,
        multiply_adds=multiply_adds,
        matrix_multiply_rate=rate,
        share_of_limit=share_of_limit(multiply_adds, warm.seconds, rate),
        threads=threads,
        versions=backend.versions(),
        **vars(finding),
    )
