"""A cluster of Ray, or Ray on this machine: reached or started, and what it has room for."""

from __future__ import annotations

import logging
import os
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from io import TextIOBase
from typing import Any
from urllib.parse import urlsplit

from kvasir_prune.errors import LaboratoryError

OPENMP = "OMP_NUM_THREADS"
PASSED_ON = ("KERAS_BACKEND", "KVASIR_PRUNE_DATA", OPENMP)
"""Environment variables that workers on other machines need."""
MOST_DEATHS = 20
"""Of the workers of one trial, until it is given up."""
ANSWERS_WITHIN_S = 10.0


@contextmanager
def ray_cluster(ray: Any, address: str | None, processors: int) -> Iterator[None]:
    """Have Ray at hand; what it prints goes to standard error.

    Args:
        ray: the package.
        address: of a cluster, as `ray.init` takes it; None starts Ray on this machine.
        processors: of this machine, where it is started here.

    Raises:
        LaboratoryError: it cannot be started, or no cluster answers there.
    """
    with redirect_stdout(_FirstLines()):
        _start(ray, address, processors)
        try:
            yield
        finally:
            ray.shutdown()


def refuse_too_much(ray: Any, asked: Mapping[str, float]) -> None:
    """Refuse what no machine has: Ray would wait for one without a word.

    Args:
        ray: the package, at a cluster.
        asked: kind of resource, as Ray calls it -> how much of it a trial takes.

    Raises:
        LaboratoryError: no machine has so much.
    """
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


def at_once(ray: Any, resources: Mapping[str, float]) -> int:
    """Return how many trials there is room for, on all machines together.

    Args:
        ray: the package, at a cluster.
        resources: as in `refuse_too_much`.
    """
    there = ray.cluster_resources()
    room = [there.get(kind, 0.0) / number for kind, number in resources.items() if number]
    return max(int(min(room)), 1)


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
