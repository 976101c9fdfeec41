"""The stages that score nodes: measuring their importance, and pruning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path

from kvasir_prune.experiment.context import Run
from kvasir_prune.experiment.forecast import fates, of_importance, of_pruning
from kvasir_prune.experiment.pace import IMPORTANCE, PRUNING, PaceKeeper
from kvasir_prune.experiment.strategies import strategy_of
from kvasir_prune.experiment.tensorboard import EventLog
from kvasir_prune.importance import measure as importance
from kvasir_prune.importance.cost_model import work_of
from kvasir_prune.importance.store import ImportanceStore
from kvasir_prune.ledger import HDF5Ledger, State
from kvasir_prune.ledger.identity import check
from kvasir_prune.models import Hidden, cut, weights_of
from kvasir_prune.models.file import publish_model
from kvasir_prune.pruning import loop as pruning
from kvasir_prune.pruning.verification import check_baseline, check_ledger
from kvasir_prune.types import LayerSize, LossAccuracy, Removed


def measure_importance(run: Run) -> None:
    """Measure every node's importance into `importance.h5`."""
    settings, folder = run.config.importance, run.folder
    if folder.importance.exists():
        store = ImportanceStore(folder.importance)
        _check_origin(run, store.identity, folder.importance)
        if store.complete:
            return
        last = store.layers[-1].name
        halvings, tolerance = store.halvings.get(last, 0), run.tolerance
        check_baseline(run.scorer, store.baseline, last, halvings=halvings, tolerance=tolerance)
    else:
        store = importance.begun(
            run.scorer,
            folder.importance,
            sizes_of(run.chain.named(settings.layers)),
            low=settings.low,
            high=settings.high,
            identity=run.origin,
        )
    with (
        run.progress.task("Node importance", None) as task,
        _keeper(run, IMPORTANCE) as keeper,
        closing(
            importance.measure(
                run.scorer,
                store,
                commit_every_s=run.config.pruning.commit_every_s,
                verify_every=run.config.pruning.verify_every,
            )
        ) as steps,
    ):
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
    if not run.has(run.folder.pruned):
        publish_model(cut(run.chain, ledger.state.removed_by_name()), run.folder.pruned)
        run.seal(run.folder.pruned)


def _open_ledger(run: Run) -> HDF5Ledger:
    path = run.folder.ledger
    # What memory did not suffice for when importances were measured is no business of the ledger's.
    run.renew_scorer()
    if path.exists():
        ledger = HDF5Ledger(path)
        _check_origin(run, ledger.identity, path)
        if not (ledger.state.finished and run.folder.evaluation.exists()):
            check_ledger(run.scorer, ledger, tolerance=run.tolerance)
        return ledger
    run.forget(*run.folder.made_from_ledger)
    layers = sizes_of(run.chain.named(run.config.pruning.layers)[::-1])
    return pruning.begun(run.scorer, path, layers, run.origin)


def _check_origin(run: Run, identity: Mapping[str, str], path: Path) -> None:
    """Refuse a file that another run wrote, copied here by mistake."""
    check(identity, run.origin, where=path, kind="run", holder="file")


def _drive(run: Run, ledger: HDF5Ledger) -> None:
    store = ImportanceStore(run.folder.importance)
    expected = fates(run.config, ledger.layers, store)
    strategy = strategy_of(run.config, ledger.layers, store)
    with (
        run.progress.task("Pruning", None) as task,
        _keeper(run, PRUNING) as keeper,
        EventLog(run.folder.events) as events,
        closing(
            pruning.prune(
                strategy,
                run.scorer,
                ledger,
                commit_every_s=run.config.pruning.commit_every_s,
                verify_every=run.config.pruning.verify_every,
            )
        ) as steps,
    ):
        before = ledger.state
        events.removal(0, ledger.baseline, 0)
        gone = (entry for entry in ledger.entries if isinstance(entry, Removed))
        for removed, entry in enumerate(gone, start=1):
            events.removal(removed, LossAccuracy(entry.loss, entry.accuracy), entry.evaluations)
        for state in steps:
            if state.removals > before.removals:
                events.removal(state.removals, state.current, state.evaluations)
            events.show()
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


def sizes_of(layers: Sequence[Hidden]) -> tuple[LayerSize, ...]:
    """Return names and nodes of layers."""
    return tuple(layer.size for layer in layers)
