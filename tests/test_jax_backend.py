"""The same code on JAX: tests of scorers, strategies and training run again in processes on it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from kvasir_prune.ledger import HDF5Ledger
from tests.cli_runs import RUN, call, write_config
from tests.test_house import ROOT

pytestmark = pytest.mark.skipif(
    find_spec("jax") is None, reason="JAX is not installed: pip install 'kvasir-prune[jax]'"
)


def on_jax(folder: Path) -> dict[str, str]:
    """Keras on JAX; what is compiled once is kept for the tests that compile it again."""
    return {
        "KERAS_BACKEND": "jax",
        "JAX_PLATFORMS": "cpu",
        "JAX_COMPILATION_CACHE_DIR": str(folder / "compiled"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }


def passed(folder: Path, *arguments: str) -> int:
    """Run pytest on JAX and return how many tests passed; show its output if one failed."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", *arguments],
        cwd=ROOT,
        env={**os.environ, **on_jax(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    found = re.search(r"(\d+) passed", done.stdout)
    assert found, done.stdout
    return int(found[1])


LEFT_OUT = [
    # Strategies drive the scorers here; by themselves, as packing and budgets, they know none.
    *("packing", "budget"),
    # What gives up candidates asks for the most, importances for the least.
    *("interrupted and (exhaustive or random)", "resumed_beside_a_giant", "halved"),
    # An operation is compiled anew for each shape: of several cases of a test one or two are run.
    *("vgg16", "every_layer and cnn", "strides", "dilation", "dwarfs and not conv1"),
]


@pytest.mark.slow
def test_scorers_and_strategies_and_resumed_training_on_jax(tmp_path: Path) -> None:
    files = [f"test_{room}.py" for room in ("exact_scorer", "scorer", "out_of_memory", "training")]
    scoring = " and ".join(f"not ({one})" for one in [*LEFT_OUT, "test_training"])
    training = "test_training and interrupted and mlp"
    chosen = f"({scoring}) or ({training})"
    assert passed(tmp_path, *(f"tests/{name}" for name in files), "-k", chosen) > 70


def test_a_whole_run_on_jax(tmp_path: Path) -> None:
    """From data to report, and again as far as nodes are removed, with the same bits."""
    ledgers = []
    for name in ("run", "prune"):
        folder = tmp_path / name
        folder.mkdir()
        write_config(folder, {"training.max_epochs": 3})
        call(name, *RUN[1:], cwd=folder, **on_jax(tmp_path)).succeeded()
        run = folder / "run"
        assert json.loads((run / "run.json").read_text())["versions"]["backend"] == "jax"
        ledgers.append(HDF5Ledger(run / "pruning.h5").entries)
    assert ledgers[0] == ledgers[1]
    assert len(ledgers[0]) > 10
    assert (tmp_path / "run" / "run" / "report" / "report.html").stat().st_size > 10_000


@pytest.mark.parametrize("threads", [1, 3])
def test_jax_gets_the_threads_it_is_given(threads: int) -> None:
    """Counted by the operating system, for PJRT_NPROC is no promise of JAX's."""
    if not Path("/proc/self/task").exists():
        pytest.skip("threads can be listed under Linux only")
    script = f"""
import pathlib
from kvasir_prune import backend
backend.load()
backend.configure(0, {threads})
import keras
keras.ops.matmul(keras.ops.ones((512, 512)), keras.ops.ones((512, 512))).block_until_ready()
names = [path.read_text() for path in pathlib.Path("/proc/self/task").glob("*/comm")]
print(sum("Eigen" in name for name in names))
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == [str(threads)]
