"""How long `kvasir-prune report RUN_DIR` takes, as a process of its own, imports included.

The run is a real one on 8,000 rendered cartoons in eight classes, 1,200 of them for the test, of a
network that is barely trained. What the report has most to do with is then put in: a thousand test
images change their answer, and each has its picture.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from kvasir_prune.data.listing import Listing
from kvasir_prune.evaluation import store, thumbnails
from kvasir_prune.evaluation.flips import PICTURED
from kvasir_prune.types import TEST

SETTINGS = (
    "name=report_time",
    "data.images_per_class=1000",
    "data.render_side_px=64",
    "model.input_side_px=48",
    "model.width=0.0625",
    "model.dense_units=32",
    "training.max_epochs=1",
    "importance.layers=[fc1, fc2]",
    "pruning.layers=[fc1, fc2]",
    "evaluation.latency_s=0.1",
)
"""What is changed of `configs/demo.yaml`."""


def make_run(config: Path, folder: Path) -> None:
    """Make the run, or go on with it, and let a thousand test images change their answer.

    Args:
        config: of the demo.
        folder: of the run; kept for the next time.
    """
    changes = [part for setting in SETTINGS for part in ("--set", setting)]
    _call("run", str(config), "--run-dir", str(folder), *changes)
    kept = store.read(folder / "evaluation.h5")
    test = kept.splits[TEST]
    after = test.before.copy()
    after[:PICTURED] = np.roll(after[:PICTURED], 1, axis=1)
    changed = {**kept.splits, TEST: replace(test, after=after)}
    store.write(folder / "evaluation.h5", replace(kept, splits=changed))
    paths = Listing.read(folder / "split.csv").of(TEST).paths
    pixels = np.load(next(folder.rglob("images.npy")), mmap_mode="r")
    pictures = {
        path: thumbnails.encode(np.asarray(image))
        for path, image in zip(paths[:PICTURED], pixels, strict=False)
    }
    thumbnails.write(folder / "thumbnails.h5", pictures, kept.origin)


def seconds(folder: Path, repetitions: int) -> Iterator[tuple[float, float]]:
    """Yield wall-clock and processor time of each process that writes the report.

    Where other work keeps the processors busy, only the second says what the report needs.
    """
    for _ in range(repetitions):
        began, spent = time.perf_counter(), _spent()
        _call("report", str(folder))
        yield time.perf_counter() - began, _spent() - spent


def _spent() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def contents(folder: Path) -> dict[str, int]:
    """Return what the report was made of, and how large it is."""
    pictures, _ = thumbnails.read(folder / "thumbnails.h5")
    test = store.read(folder / "evaluation.h5").splits[TEST]
    return {
        "test_images": len(test.labels),
        "classes": test.before.shape[1],
        "flips": int((test.before.argmax(axis=1) != test.after.argmax(axis=1)).sum()),
        "pictures": len(pictures),
        "html_bytes": (folder / "report" / "report.html").stat().st_size,
    }


def _call(*arguments: str) -> None:
    command: Sequence[str] = (sys.executable, "-m", "kvasir_prune", *arguments)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
