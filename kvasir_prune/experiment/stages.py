"""The stages of a run, in order; each does only what its files show to be missing."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from kvasir_prune import backend
from kvasir_prune.experiment import evaluating, reporting
from kvasir_prune.experiment.context import Run
from kvasir_prune.experiment.preparing import Stage
from kvasir_prune.experiment.rerandomising import rerandomise
from kvasir_prune.experiment.scoring import measure_importance, prune_network, sizes_of
from kvasir_prune.experiment.strategies import check_nodes
from kvasir_prune.experiment.tensorboard import EventLog
from kvasir_prune.models import Chain, read_chain
from kvasir_prune.models.file import publish_model
from kvasir_prune.publish import publish_text
from kvasir_prune.training.fit import train
from kvasir_prune.training.history import to_csv


def run_stages(
    run: Run,
    until: Stage,
    *,
    around: Callable[[Stage], AbstractContextManager[object]] = lambda _stage: nullcontext(),
) -> None:
    """Do every stage up to `until` that is not done yet; the images are prepared already.

    Args:
        run: under way.
        until: last stage to do.
        around: gives what every stage is done in.
    """
    with backend.errors_named("start of the backend"):
        run.start_backend()
    work: dict[Stage, Callable[[Run], None]] = {
        Stage.TRAIN: train_network,
        Stage.IMPORTANCE: measure_importance,
        Stage.PRUNE: prune_network,
        Stage.EVALUATE: evaluating.evaluate,
        Stage.REPORT: reporting.write_report_of,
    }
    for stage, do in work.items():
        with backend.errors_named(f"stage {stage}"), around(stage):
            do(run)
        if stage == until:
            return


def train_network(run: Run) -> None:
    """Train the network and publish `model.keras`."""
    folder = run.folder
    if not run.has(folder.model):
        folder.training.mkdir(exist_ok=True)
        model = run.new_model()
        check_layers(run, read_chain(model))
        _prepare_weights(run, model)
        steps = train(
            model,
            run.dataset,
            run.config.training,
            folder.training,
            seed=run.config.seed,
            progress=run.progress,
        )
        with EventLog(folder.training / "tensorboard") as events:
            for history in steps:
                publish_text(folder.history, to_csv(history))
                events.epochs(history)
                if history:
                    run.progress.note(_epoch_line(history[-1]))
        publish_model(model, folder.model)
        run.seal(folder.history, folder.model)
        folder.drawn_weights.unlink(missing_ok=True)
    # Also another run's network, which nobody has asked for this run's layers yet.
    check_layers(run, run.chain)


def _prepare_weights(run: Run, model: Any) -> None:
    """Draw the initial weights anew if that is asked for; a training under way has its own."""
    asked, folder = run.config.training.rerandomisation, run.folder
    if asked is None or folder.checkpoint.exists():
        return
    drawn = rerandomise(run, model, asked)
    publish_text(folder.initial_weights, json.dumps(drawn, indent=2) + "\n")


def check_layers(run: Run, chain: Chain) -> None:
    """Refuse what the network does not have before the training, not hours later.

    Raises:
        ModelError: it has no such layer, or not so many nodes to remove.
    """
    chain.named(run.config.importance.layers)
    settings = run.config.pruning
    check_nodes(settings.nodes, sizes_of(chain.named(settings.layers)), where="pruning.nodes")


def _epoch_line(epoch: Any) -> str:
    return (
        f"Epoch {epoch.epoch}: training loss {epoch.train_loss:.4f}, accuracy "
        f"{epoch.train_accuracy:.4f}; validation loss {epoch.validation_loss:.4f}, "
        f"accuracy {epoch.validation_accuracy:.4f}"
    )
