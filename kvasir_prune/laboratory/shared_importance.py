"""Node importances that trials share: the first of them measures, the others adopt.

They are a function of the trained network, the images, the device and the section `importance` of
the configuration; what is pruned behind them, and how, is none of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from kvasir_prune.errors import LedgerError
from kvasir_prune.experiment.context import Run
from kvasir_prune.importance.store import ImportanceStore
from kvasir_prune.locking import locked
from kvasir_prune.publish import sha256_json


@contextmanager
def measured_once(run: Run, shared: Path) -> Iterator[None]:
    """Give importances to a run before a `with` block that would measure them, and take them after.

    Whoever needs the same ones meanwhile waits for them. A shared file that is damaged, or that
    was measured on another network, other images or another device, counts as none and is replaced.

    Args:
        run: with its network, on its device.
        shared: file for all trials that measure the same.

    Raises:
        LedgerError: the run's own file is damaged.
        StorageError: the file system does not take a copy.
    """
    own = run.folder.importance
    if own.exists() and ImportanceStore(own).complete:
        yield
        return
    shared.parent.mkdir(parents=True, exist_ok=True)
    with locked(shared.with_name(f"{shared.name}.lock")):
        function_of = _function_of(run)
        known = _whole(shared, function_of)
        if known is not None:
            _publish(known, own, run.origin)
        yield
        if known is None:
            _publish(ImportanceStore(own), shared, function_of)


def _function_of(run: Run) -> dict[str, str]:
    """Return what the importances of a run are a function of, beside their configuration."""
    digests = {key: value for key, value in run.origin.items() if key != "config"}
    return {**digests, "device": sha256_json(run.record["devices"][-1]["device"])}


def _whole(shared: Path, function_of: Mapping[str, str]) -> ImportanceStore | None:
    if not shared.exists():
        return None
    try:
        store = ImportanceStore(shared)
    except LedgerError:
        return None
    return store if store.complete and store.identity == function_of else None


def _publish(store: ImportanceStore, path: Path, identity: Mapping[str, str]) -> None:
    store.path, store.identity = path, dict(identity)
    store.commit()
