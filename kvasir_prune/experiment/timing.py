"""Measuring the latency of the network before, masked and cut; provenance, not a result."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from typing import Any

from kvasir_prune.evaluation.latency import BATCH_SIZES, Answer, measure
from kvasir_prune.experiment.context import Run
from kvasir_prune.ledger import HDF5Ledger
from kvasir_prune.models import read_chain, weights_of
from kvasir_prune.models.forward import Weights, mask
from kvasir_prune.models.section import Section, batches
from kvasir_prune.publish import publish_text
from kvasir_prune.types import TEST


def write_latency(run: Run, pruned: Any) -> None:
    """Publish `latency.json`: an empty list where `evaluation.latency_s` is 0."""
    seconds = run.config.evaluation.latency_s
    with run.progress.task("Latency", None):
        found = measure(_answers(run, pruned), seconds) if seconds else []
    publish_text(run.folder.latency, json.dumps([asdict(one) for one in found], indent=2) + "\n")
    run.seal(run.folder.latency)


def _answers(run: Run, pruned: Any) -> dict[tuple[str, int], Answer]:
    removed = HDF5Ledger(run.folder.ledger).state.removed_by_name()
    whole, cut = run.chain, read_chain(pruned)
    weights = weights_of(whole)
    sections = {"whole": Section(whole), "cut": Section(cut)}
    networks: Mapping[str, tuple[Section, Weights]] = {
        "before": (sections["whole"], weights),
        "masked": (sections["whole"], mask(whole, weights, removed)),
        "cut": (sections["cut"], weights_of(cut)),
    }
    loaded = {name: (section, section.load(arrays)) for name, (section, arrays) in networks.items()}
    rows = run.dataset.rows[TEST]
    steps = {size: next(batches(run.dataset.images, rows, size)) for size in BATCH_SIZES}
    return {
        (name, size): partial(_answer, section, arrays, steps[size])
        for size in BATCH_SIZES
        for name, (section, arrays) in loaded.items()
    }


def _answer(section: Section, loaded: Any, step: Any) -> None:
    for _ in section.apply(loaded, [step]):
        pass
