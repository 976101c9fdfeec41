"""Node importances that trials share: one of them measures, the others adopt.

They are a function of the trained network, the images, where and how is computed, and the section
`importance` of the configuration; what is pruned behind them, and how, is none of it. In a folder
of their own: `importance.h5`, `times.json` with the seconds of whoever measured, and
`measurer.json`: who is at it or was, from whose commit the next one goes on should that one die.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import Timeout

from kvasir_prune.errors import KvasirPruneError
from kvasir_prune.experiment.context import Run
from kvasir_prune.experiment.folder import RunFolder
from kvasir_prune.importance.store import ImportanceStore
from kvasir_prune.laboratory.stage_times import publish_times, times_of
from kvasir_prune.ledger.identity import origin
from kvasir_prune.locking import locked
from kvasir_prune.publish import log, publish_text, sha256_json, sweep_partials

IMPORTANCE = "importance"
"""The stage that is shared."""
MEASURER = "measurer.json"


@dataclass(frozen=True)
class Adopted:
    """What a run has from others.

    Attributes:
        seconds: that all of it took; None where a part of that is not known, or of the whole.
    """

    seconds: float | None


def place_of(shared: Path, record: Mapping[str, Any]) -> RunFolder:
    """Return the folder of what a run shares.

    Args:
        shared: of all that ask for the same importances of one network.
        record: of the run, on its device.
    """
    return RunFolder(shared / sha256_json(_function_of(record))[:16])


def is_measured(shared: Path) -> bool:
    """Return whether somebody, on whatever device, has measured what is to be shared there."""
    return any(RunFolder(place).importance.exists() for place in shared.glob("*"))


@contextmanager
def measured_once(run: Run, shared: Path) -> Iterator[Adopted | None]:
    """Give importances to a run before a `with` block that measures what is missing; keep them.

    Whoever needs the same ones meanwhile waits. What is damaged counts as none and is replaced.

    Args:
        run: with its network, on its device.
        shared: as in `place_of`.

    Yields:
        What it was given; None where it has measured all by itself so far.

    Raises:
        LedgerError: the run's own file is damaged.
        StorageError: the file system does not take a copy.
    """
    own, place = run.folder.importance, place_of(shared, run.record)
    known = ImportanceStore(own) if own.exists() else None
    if known is not None and known.identity != run.origin:
        # Somebody put it there; who goes on with it refuses it.
        yield None
        return
    place.path.mkdir(parents=True, exist_ok=True)
    if known is not None and known.complete:
        yield None
        # Whoever is at it now will offer the same.
        with suppress(Timeout), _alone_in(place.path, timeout_s=0):
            _offer(run, place)
        return
    with _waiting_for(place.path, run):
        adopted = _adopt(run, place, len(known.measured) if known else 0)
        content = {"folder": str(run.folder.path.absolute()), "origin": run.origin}
        publish_text(place.path / MEASURER, json.dumps(content), durable=False)
        yield adopted
        _offer(run, place)


def _function_of(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the importances of a run are a function of, beside their configuration."""
    digests = {key: value for key, value in origin(record).items() if key != "config"}
    settings = {key: record[key] for key in ("threads", "environment")}
    return {**digests, **settings, "device": record["devices"][-1]["device"]}


def _is_shareable(record: Mapping[str, Any], store: ImportanceStore) -> bool:
    """Return whether every other run would have found the same bits."""
    return len(record["devices"]) == 1 and not store.halvings


@contextmanager
def _alone_in(place: Path, *, timeout_s: float = -1) -> Iterator[None]:
    with locked(place / ".lock", timeout_s=timeout_s) as is_alone:
        if is_alone:
            sweep_partials(place)
        yield


@contextmanager
def _waiting_for(place: Path, run: Run) -> Iterator[None]:
    with ExitStack() as stack:
        try:
            stack.enter_context(_alone_in(place, timeout_s=0))
        except Timeout:
            # A sweep shows no trial's notes; whoever wonders why one stands still reads its log.
            log.info("waiting for=%s", place)
            stack.enter_context(_alone_in(place))
            run.note_start()
        yield


def _adopt(run: Run, place: RunFolder, known: int) -> Adopted | None:
    """Give a run what is measured already, if that is more than it knows."""
    store, seconds = _store_in(place.importance, _shared_identity(run)), times_of(place)
    if store is None or not store.complete:
        store, seconds = _of_measurer(run, place), {}
    if store is None or len(store.measured) <= known:
        return None
    settings = run.config.importance
    store.path, store.identity = run.folder.importance, run.origin
    store.low, store.high = settings.low, settings.high
    # Twice: every file of a run has a commit before the last, in case that is damaged.
    store.commit()
    store.commit()
    return Adopted(seconds.get(IMPORTANCE))


def _of_measurer(run: Run, place: RunFolder) -> ImportanceStore | None:
    """Return what the last measurer got to; None where its folder is another run's by now."""
    try:
        content = json.loads((place.path / MEASURER).read_text(encoding="utf-8"))
        folder, identity = RunFolder(Path(content["folder"])), content["origin"]
        record = folder.read_record()
    except (OSError, ValueError, KeyError, TypeError, KvasirPruneError):
        return None
    if record is None or not record["devices"] or origin(record) != identity:
        return None
    part = _store_in(folder.importance, identity)
    same = _function_of(record) == _function_of(run.record)
    return part if part is not None and same and _is_shareable(record, part) else None


def _store_in(path: Path, identity: Mapping[str, str]) -> ImportanceStore | None:
    if not path.exists():
        return None
    try:
        store = ImportanceStore(path)
    except KvasirPruneError:
        return None
    return store if store.identity == identity else None


def _shared_identity(run: Run) -> dict[str, str]:
    return {"function_of": sha256_json(_function_of(run.record))}


def _offer(run: Run, place: RunFolder) -> None:
    """Keep what a run has for all others, if they would have found the same."""
    identity = _shared_identity(run)
    known, store = _store_in(place.importance, identity), ImportanceStore(run.folder.importance)
    if (known is not None and known.complete) or not _is_shareable(run.record, store):
        return
    seconds = times_of(run.folder, whole=True).get(IMPORTANCE)
    publish_times(place, {} if seconds is None else {IMPORTANCE: seconds})
    store.path, store.identity = place.importance, identity
    store.commit()
