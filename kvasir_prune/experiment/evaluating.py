"""The evaluation stage: logits before and after, cost, and the evolution in between."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import numpy as np

from kvasir_prune.errors import ModelError
from kvasir_prune.evaluation import store
from kvasir_prune.evaluation.cost import cost_of
from kvasir_prune.evaluation.metrics import loss_accuracy
from kvasir_prune.evaluation.partial import PartialLogits
from kvasir_prune.evaluation.predict import predict
from kvasir_prune.experiment.context import Run
from kvasir_prune.experiment.picturing import write_thumbnails
from kvasir_prune.experiment.timing import write_latency
from kvasir_prune.ledger import HDF5Ledger
from kvasir_prune.ledger.committer import Committer
from kvasir_prune.models import read_chain, weights_of
from kvasir_prune.models.file import load_model
from kvasir_prune.models.section import Section
from kvasir_prune.pruning.evolution import points, replay
from kvasir_prune.publish import publish_text
from kvasir_prune.types import SPLITS

AGREEMENT = 1e-4
"""Largest relative difference between the ledger's last loss and the cut network's own."""


def evaluate(run: Run) -> None:
    """Publish what is missing of the evaluation.

    These are `cost.json`, the evolution in `pruning.h5`, `evaluation.h5`, `latency.json` and
    `thumbnails.h5`.
    """
    folder = run.folder
    measured = folder.evaluation.exists() and run.has(folder.cost)
    if measured and run.has(folder.latency) and folder.thumbnails.exists():
        return
    run.forget(*folder.report_files)
    run.release_scorer()
    pruned = load_model(folder.pruned)
    if not measured:
        ledger = HDF5Ledger(folder.ledger)
        _write_cost(run, pruned)
        _write_evolution(run, ledger)
        _write_logits(run, pruned, ledger)
    if not run.has(folder.latency):
        write_latency(run, pruned)
    if not folder.thumbnails.exists():
        write_thumbnails(run)


def _write_cost(run: Run, pruned: Any) -> None:
    models = {"before": (run.chain.model, run.folder.model), "after": (pruned, run.folder.pruned)}
    costs = {
        name: {**asdict(cost_of(model)), "file_bytes": path.stat().st_size}
        for name, (model, path) in models.items()
    }
    publish_text(run.folder.cost, json.dumps(costs, indent=2) + "\n")
    run.seal(run.folder.cost)


def _write_evolution(run: Run, ledger: HDF5Ledger) -> None:
    moments = points(ledger, run.config.evaluation.every_removals)
    known = {(int(row["removed"]), row["split"].decode()) for row in ledger.evolution}
    with run.progress.task("Evolution of the loss", len(SPLITS) * len(moments)) as task:
        task.advance(len(known))
        for name in SPLITS:
            missing = tuple(point for point in moments if (point.removed, name) not in known)
            for point, value in replay(ledger, run.scorer_on(name), missing):
                row = (point.removed, point.layer, name, value.loss, value.accuracy)
                ledger.record_evolution([row])
                task.advance(split=name)


def _write_logits(run: Run, pruned: Any, ledger: HDF5Ledger) -> None:
    dataset, batch_size = run.dataset, run.config.evaluation.batch_size
    partial = PartialLogits(run.folder.partial_logits, run.origin)
    networks = {"before": run.chain, "after": read_chain(pruned)}
    images = sum(map(len, dataset.rows.values()))
    with (
        run.progress.task("Logits before and after", 2 * images) as task,
        Committer(partial, run.config.pruning.commit_every_s) as committer,
    ):
        for moment, chain in networks.items():
            network, weights = Section(chain), weights_of(chain)
            for name in SPLITS:
                begun = partial.count(name, moment)
                task.advance(begun)
                rows = dataset.rows[name][begun:]
                for part in predict(
                    network,
                    weights,
                    dataset.images,
                    rows,
                    batch_size=batch_size,
                    verify_every=run.config.pruning.verify_every,
                ):
                    partial.record(name, moment, part)
                    committer.recorded()
                    task.advance(len(part))
    splits = {
        name: store.SplitLogits(
            dataset.labels_of(name), *(partial.whole(name, moment) for moment in networks)
        )
        for name in SPLITS
    }
    _check_agreement(run, splits, ledger)
    margin = run.config.report.non_inferiority_margin
    evaluation = store.Evaluation(dataset.classes, splits, run.origin, margin)
    store.write(run.folder.evaluation, evaluation)
    run.folder.partial_logits.unlink(missing_ok=True)


def _check_agreement(run: Run, splits: dict[str, store.SplitLogits], ledger: HDF5Ledger) -> None:
    """Refuse a cut network that does not do what the ledger says it does."""
    scored = splits[run.config.importance.split]
    own = loss_accuracy(scored.after, scored.labels).loss
    recorded = ledger.state.current.loss
    if not np.isclose(own, recorded, rtol=AGREEMENT, atol=AGREEMENT):
        raise ModelError(
            "The pruned network does not have the loss that the ledger recorded.",
            where=run.folder.pruned,
            got=own,
            expected=recorded,
            fix="delete the file, and it is cut again from the ledger",
        )
