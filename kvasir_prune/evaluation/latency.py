"""How long networks take for an answer on this machine, measured in turns."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

BATCH_SIZES = (1, 32)
LEAST_REPEATS, MOST_REPEATS = 5, 200

Answer = Callable[[], object]
"""Computes the answers to one batch and returns when they are there."""


@dataclass(frozen=True)
class Latency:
    """Milliseconds for one batch: the median and the quartiles around it."""

    network: str
    batch_size: int
    repeats: int
    median_ms: float
    lower_quartile_ms: float
    upper_quartile_ms: float


def measure(answers: Mapping[tuple[str, int], Answer], seconds: float) -> list[Latency]:
    """Time every network at every batch size, one after the other in turns.

    In turns, so that what else the machine does meanwhile falls on all of them. Each is called
    twice beforehand: the first call may compile.

    Args:
        answers: (network, batch size) -> what to time.
        seconds: to spend on all of them, about; each is timed 5 to 200 times.
    """
    for answer in (*answers.values(), *answers.values()):
        answer()
    taken: dict[tuple[str, int], list[float]] = {key: [] for key in answers}
    end = time.perf_counter() + seconds
    for repeat in range(MOST_REPEATS):
        if repeat >= LEAST_REPEATS and time.perf_counter() > end:
            break
        for key, answer in answers.items():
            begun = time.perf_counter()
            answer()
            taken[key].append(1000 * (time.perf_counter() - begun))
    return [
        Latency(*key, len(times), *(float(q) for q in np.percentile(times, (50, 25, 75))))
        for key, times in taken.items()
    ]
