"""The stages of a run, in order; each does only what its files show to be missing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from kvasir_prune.experiment import evaluating, reporting
from kvasir_prune.experiment.context import Run
from kvasir_prune.experiment.forecast import fates, of_importance, of_pruning
from kvasir_prune.experiment.pace import IMPORTANCE, PRUNING, PaceKeeper
from kvasir_prune.experiment.preparing import Stage
from kvasir_prune.experiment.strategies import check_nodes, strategy_of
from kvasir_prune.experiment.tensorboard import EventLog
from kvasir_prune.importance.cost_model import work_of
from kvasir_prune.importance.measure import measure
from kvasir_prune.importance.store import ImportanceStore
from kvasir_prune.ledger import HDF5Ledger, State
from kvasir_prune.ledger.identity import check
from kvasir_prune.models import Hidden, cut, read_chain, weights_of
from kvasir_prune.pruning import prune
from kvasir_prune.publish import publish_text, publishing
from kvasir_prune.training.fit import train
from kvasir_prune.training.history import to_csv
from kvasir_prune.types import LayerSize


def run_stages(run: Run, until: Stage) -> None:
    """Do every stage up to `until` that is not done yet; the images are prepared already."""
    run.start_backend()
    work: dict[Stage, Callable[[Run], None]] = {
        Stage.TRAIN: train_network,
        Stage.IMPORTANCE: measure_importance,
        Stage.PRUNE: prune_network,
        Stage.EVALUATE: evaluating.evaluate,
        Stage.REPORT: reporting.write_report_of,
    }
    for stage, do in work.items():
        do(run)
        if stage == until:
            return


def train_network(run: Run) -> None:
    """Train the network and publish `model.keras`."""
    folder = run.folder
    if not folder.model.exists():
        folder.training.mkdir(exist_ok=True)
        model = run.new_model()
        _check_layers(run, model)
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
        _publish_model(model, folder.model)
    _ = run.chain


def _check_layers(run: Run, model: Any) -> None:
    """Refuse what the network does not have before the training, not hours later."""
    chain = read_chain(model)
    chain.named(run.config.importance.layers)
    check_nodes(run.config, _sizes(chain.named(run.config.pruning.layers)))


def measure_importance(run: Run) -> None:
    """Measure every node's importance into `importance.h5`."""
    settings, folder = run.config.importance, run.folder
    if folder.importance.exists():
        store = ImportanceStore(folder.importance)
        _check_origin(run, store.identity, folder.importance)
        if store.complete:
            return
    else:
        store = ImportanceStore(
            folder.importance,
            layers=_sizes(run.chain.named(settings.layers)),
            baseline=run.scorer.evaluate({}),
            low=settings.low,
            high=settings.high,
            identity=run.origin,
        )
    run.renew_scorer()
    with run.progress.task("Node importance", None) as task, _keeper(run, IMPORTANCE) as keeper:
        steps = measure(run.scorer, store, commit_every_s=run.config.pruning.commit_every_s)
        halved = dict(store.halvings)
        for fresh in steps:
            layer = store.layers[fresh[-1].layer].name
            if store.halvings != halved:
                run.progress.note(_smaller_steps(layer))
                halved = dict(store.halvings)
            keeper.took(layer, len(fresh))
            if forecast := of_importance(keeper.pace, store):
                task.foresee(
                    forecast.done_s, forecast.left_s, layer=layer, nodes=len(store.measured)
                )


def _keeper(run: Run, stage: str) -> PaceKeeper:
    """Return what times the scoring of every layer that has nodes to score."""
    weights, scorer = weights_of(run.chain), run.config.importance.scorer
    images = len(run.dataset.rows[run.config.importance.split])
    known = {
        hidden.name: (images * work.evaluation(scorer), images * work.prefix_pass)
        for hidden in run.chain.hidden
        for work in [work_of(run.chain, weights, hidden)]
    }
    return PaceKeeper(run.folder.pace, known, stage)


def prune_network(run: Run) -> None:
    """Remove nodes, remember them in `pruning.h5`, and publish `pruned.keras`."""
    ledger = _open_ledger(run)
    if not ledger.state.finished:
        _drive(run, ledger)
    if not run.folder.pruned.exists():
        _publish_model(cut(run.chain, ledger.state.removed_by_name()), run.folder.pruned)


def _open_ledger(run: Run) -> HDF5Ledger:
    path = run.folder.ledger
    if path.exists():
        ledger = HDF5Ledger(path)
        _check_origin(run, ledger.identity, path)
        return ledger
    layers = _sizes(run.chain.named(run.config.pruning.layers)[::-1])
    baseline = run.scorer.evaluate({})
    ledger = HDF5Ledger(path, layers=layers, baseline=baseline, identity=run.origin)
    ledger.commit()
    return ledger


def _check_origin(run: Run, identity: Mapping[str, str], path: Path) -> None:
    """Refuse a file that another run wrote, copied here by mistake."""
    check(identity, run.origin, where=path, kind="run", holder="file")


def _drive(run: Run, ledger: HDF5Ledger) -> None:
    store, every = ImportanceStore(run.folder.importance), run.config.pruning.commit_every_s
    expected = fates(run.config, ledger.layers, store)
    strategy = strategy_of(run.config, ledger.layers, store)
    run.renew_scorer()
    with run.progress.task("Pruning", None) as task, _keeper(run, PRUNING) as keeper:
        before = ledger.state
        for state in prune(strategy, run.scorer, ledger, commit_every_s=every):
            if state.halvings > before.halvings:
                run.progress.note(_smaller_steps(state.layers[state.layer].name))
            scored = state.evaluations - before.evaluations
            keeper.took(state.layers[before.layer].name, scored)
            if forecast := of_pruning(keeper.pace, run.config, expected, state):
                task.foresee(forecast.done_s, forecast.left_s, **_facts(state))
            before = state


def _smaller_steps(layer: str) -> str:
    return f"Memory does not suffice: layer {layer} goes on in smaller steps, more slowly"


def _facts(state: State) -> dict[str, object]:
    """Return what is shown beside the bar."""
    layer = "" if state.finished else state.layers[state.layer].name
    node, loss = max(state.looked_at, default=0), f"{state.current.loss:.5f}"
    return {"layer": layer, "node": node, "removed": state.removals, "loss": loss}


def _sizes(layers: Sequence[Hidden]) -> tuple[LayerSize, ...]:
    return tuple(layer.size for layer in layers)


def _publish_model(model: Any, path: Any) -> None:
    with publishing(path) as temporary:
        model.save(temporary)


def _epoch_line(epoch: Any) -> str:
    return (
        f"Epoch {epoch.epoch}: training loss {epoch.train_loss:.4f}, accuracy "
        f"{epoch.train_accuracy:.4f}; validation loss {epoch.validation_loss:.4f}, "
        f"accuracy {epoch.validation_accuracy:.4f}"
    )
