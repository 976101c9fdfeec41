"""How fast this machine multiplies matrices, and how much of that a pruning job makes use of."""

from __future__ import annotations

import time

import keras
import numpy as np

from kvasir_prune import backend

SIDE = 2048
ROUNDS = 8


def matrix_multiply_rate() -> float:
    """Return the best measured rate of float32 products of 2048 x 2048 matrices, FLOP/s.

    A multiply-add counts as two operations.
    """
    rng = np.random.default_rng(0)
    left, right = (
        keras.ops.convert_to_tensor(rng.standard_normal((SIDE, SIDE), np.float32)) for _ in range(2)
    )
    multiply = backend.compiled(keras.ops.matmul)
    np.asarray(multiply(left, right))
    fastest = float("inf")
    for _ in range(ROUNDS):
        start = time.perf_counter()
        np.asarray(multiply(left, right))
        fastest = min(fastest, time.perf_counter() - start)
    return 2 * SIDE**3 / fastest


def share_of_limit(multiply_adds: int | None, seconds: float, rate: float) -> float | None:
    """Return the share of the machine's rate that was used, None where nothing was counted.

    Args:
        multiply_adds: of the whole job, from shapes.
        seconds: it took.
        rate: FLOP/s.
    """
    return None if multiply_adds is None else 2 * multiply_adds / (seconds * rate)


def multiply_adds_of(scorer: object) -> int | None:
    """Return what a scorer counted of its work, None where it does not count."""
    return getattr(getattr(scorer, "work", None), "multiply_adds", None)
