"""Doing trials on Ray: in several processes of this machine, or on a cluster.

Ray places the trials, and starts one again whose worker died; it then goes on from its ledger. The
folders must be on storage that all machines share. https://docs.ray.io
"""

from __future__ import annotations

import logging
import os
import platform
import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from io import TextIOBase
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from kvasir_prune.errors import BackendError, KvasirPruneError, LaboratoryError
from kvasir_prune.laboratory.trial import Trial, waiting_least
from kvasir_prune.laboratory.working import work
from kvasir_prune.progress import Silent

if TYPE_CHECKING:
    from kvasir_prune.laboratory.sweeping import Worker

OPENMP = "OMP_NUM_THREADS"
PASSED_ON = ("KERAS_BACKEND", "KVASIR_PRUNE_DATA", OPENMP)
"""Environment variables that workers on other machines need."""
MOST_DEATHS = 20
"""Of the workers of one trial, until it is given up."""
SHORT_OF_MEMORY = (
    "Ray ended its worker again and again, because the memory of the machine ran short: do fewer "
    "trials at once (--workers), or lower importance.memory_budget_gib; what is done is safe"
)
LOOK_EVERY_S = 1.0
ANSWERS_WITHIN_S = 10.0


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
        with redirect_stdout(_FirstLines()):
            _start(ray, address, workers * threads)
            try:
                resources = {"CPU": float(threads), "GPU": gpus}
                _refuse_too_much(ray, resources)
                ordered = list(waiting_least(trials, _at_once(ray, resources)))
                yield from _done(ray, ordered, command, {"num_cpus": threads, "num_gpus": gpus})
            finally:
                ray.shutdown()

    return do


class _FirstLines(TextIOBase):
    """Takes what Ray prints where results belong; its first lines are enough.

    Of a worker that it ended because memory ran short there are forty.
    """

    def write(self, text: str) -> int:
        if first := text.strip().partition("\n")[0]:
            print(first, file=sys.stderr, flush=True)
        return len(text)


def _start(ray: Any, address: str | None, processors: int) -> None:
    # Ray would otherwise send statistics of its usage to its makers.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # Without an end, otherwise: a trial too large for its machine would be tried for ever.
    os.environ.setdefault("RAY_task_oom_retries", str(MOST_DEATHS))
    passed = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    settings: dict[str, Any] = {"address": address}
    if address is None:
        settings = {"num_cpus": processors, "include_dashboard": False}
    try:
        if address not in (None, "auto"):
            _reach(str(address))
        ray.init(
            log_to_driver=False,
            logging_level=logging.ERROR,
            runtime_env={"env_vars": passed},
            **settings,
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise LaboratoryError(
            "Ray cannot be started, or its cluster does not answer.",
            where=address or "this machine",
            got=str(error).splitlines()[0] if str(error) else type(error).__name__,
            fix="look whether the cluster is up (`ray status`), or leave --address out",
        ) from None


def _reach(address: str) -> None:
    """Knock at a cluster's door; Ray itself tries for many minutes. Raises `OSError`."""
    place = urlsplit(address if "://" in address else f"//{address}")
    if place.hostname is None or place.port is None:
        raise ValueError("an address looks like HOST:PORT, ray://HOST:PORT or auto")
    socket.create_connection((place.hostname, place.port), timeout=ANSWERS_WITHIN_S).close()


def _refuse_too_much(ray: Any, asked: Mapping[str, float]) -> None:
    """Refuse what no machine has: Ray would wait for one without a word."""
    machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    for kind, number in asked.items():
        most = max((machine.get(kind, 0.0) for machine in machines), default=0.0)
        if number > most:
            raise LaboratoryError(
                f"A trial asks for more {kind}s than any machine of Ray has.",
                got=f"{number:g}",
                expected=f"at most {most:g}",
                fix="lower --gpus-per-trial or runtime.threads, or start Ray where there are more",
            )


def _at_once(ray: Any, resources: Mapping[str, float]) -> int:
    """Return how many trials there is room for, on all machines together."""
    there = ray.cluster_resources()
    room = [there.get(kind, 0.0) / number for kind, number in resources.items() if number]
    return max(int(min(room)), 1)


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
