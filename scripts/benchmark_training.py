"""Time a training step of the simple networks: python scripts/benchmark_training.py.

What is compared: `benchmarks/training_time.py`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from kvasir_prune import backend  # noqa: E402


def main(
    *,
    steps: Annotated[int, typer.Option(min=16, help="Of each way.")] = 640,
    batch_size: Annotated[int, typer.Option(min=1, help="Images of a step.")] = 32,
    threads: Annotated[int, typer.Option(min=1, help="Of the backend.")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="Of images and weights.")] = 0,
) -> None:
    """Measure; prints JSON: milliseconds a step of each network, and their ratio."""
    backend.load()
    backend.configure(seed, threads)
    from benchmarks.training_time import step_times
    from kvasir_prune.config.model import Ann, Cnn, Mlp

    networks = (Ann(name="ann"), Mlp(name="mlp"), Cnn(name="cnn"))
    found = {
        network.name: step_times(network, batch_size=batch_size, steps=steps, seed=seed)
        for network in networks
    }
    print(json.dumps({**found, "threads": threads, "batch_size": batch_size}, indent=2))


if __name__ == "__main__":
    typer.run(main)
