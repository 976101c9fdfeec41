"""Doing trials on Ray: in several processes of this machine, or on a cluster.

Ray places the trials, and starts one again whose worker died; it then goes on from its ledger. The
folders must be on storage that all machines share. https://docs.ray.io
"""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kvasir_prune.errors import BackendError, KvasirPruneError, LaboratoryError
from kvasir_prune.laboratory.ray_cluster import (
    MOST_DEATHS,
    OPENMP,
    at_once,
    ray_cluster,
    refuse_too_much,
)
from kvasir_prune.laboratory.trial import Trial, waiting_least
from kvasir_prune.laboratory.working import work
from kvasir_prune.progress import Silent

if TYPE_CHECKING:
    from kvasir_prune.laboratory.sweeping import Worker

SHORT_OF_MEMORY = (
    "Ray ended its worker again and again, because the memory of the machine ran short: do fewer "
    "trials at once (--workers), or lower importance.memory_budget_gib; what is done is safe"
)
LOOK_EVERY_S = 1.0


def on_ray(workers: int, *, address: str | None = None, gpus: float = 0.0) -> Worker:
    """Return what does trials on Ray.

    Args:
        workers: processes on this machine; on a cluster Ray decides.
        address: of a cluster, as `ray.init` takes it; None starts Ray on this machine.
        gpus: of each trial, may be a fraction.

    Raises:
        BackendError: Ray is not installed.
    """
    try:
        import ray
    except ImportError:
        raise BackendError(
            "Several workers need Ray, which is not installed.",
            expected="the optional package ray",
            fix="pip install 'kvasir-prune[ray]', or leave --workers and --address out",
        ) from None

    def do(trials: Sequence[Trial], command: str) -> Iterator[tuple[Trial, str | None]]:
        if not trials:
            return
        threads = max(trial.config.runtime.threads or 1 for trial in trials)
        with ray_cluster(ray, address, workers * threads):
            resources = {"CPU": float(threads), "GPU": gpus}
            refuse_too_much(ray, resources)
            ordered = list(waiting_least(trials, at_once(ray, resources)))
            yield from _done(ray, ordered, command, {"num_cpus": threads, "num_gpus": gpus})

    return do


def _done(
    ray: Any, trials: Sequence[Trial], command: str, resources: dict[str, float]
) -> Iterator[tuple[Trial, str | None]]:
    """Hand out the trials; yield each when it is over."""
    task = ray.remote(_work).options(max_retries=MOST_DEATHS, **resources)
    shell = str(Path.cwd()), OPENMP in os.environ
    under_way = {task.remote(trial, command, *shell): trial for trial in trials}
    while under_way:
        # Not without a limit: a signal is handled between two calls.
        ready, _ = ray.wait(list(under_way), timeout=LOOK_EVERY_S)
        for reference in ready:
            trial = under_way.pop(reference)
            try:
                refusal, stops_all = ray.get(reference)
            except ray.exceptions.WorkerCrashedError:
                yield trial, f"its worker died {MOST_DEATHS + 1} times"
                continue
            except ray.exceptions.OutOfMemoryError:
                yield trial, SHORT_OF_MEMORY
                continue
            if stops_all:
                raise LaboratoryError(f"{trial.name}: {refusal}")
            yield trial, refusal


def _work(trial: Trial, command: str, folder: str, has_openmp: bool) -> tuple[str | None, bool]:
    """Do a trial in a worker; return what was refused, and whether it stops all others too."""
    if not has_openmp:
        # Ray has set it. It is a flag that runs keep, and by which importances are shared.
        os.environ.pop(OPENMP, None)
    try:
        os.chdir(folder)
        work(trial, Silent(), command)
    except KvasirPruneError as error:
        # As text: not every exception comes whole through a pickle.
        return f"on {platform.node()}: {error}", error.exit_code != KvasirPruneError.exit_code
    except OSError as error:
        return f"on {platform.node()}: {error}", False
    return None, False
