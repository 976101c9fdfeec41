"""Node importances that trials share: one of them measures, the others adopt.

They are a function of the trained network, the images, where and how is computed, and the section
`importance` of the configuration; what is pruned behind them, and how, is none of it. In a folder
of their own: `importance.h5`, `times.json` with the seconds of whoever measured, and `measurer`,
the run folder of whoever is at it or was, from which the next one goes on should that one die.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
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
MEASURER = "measurer"


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
def measured_once(run: Run, shared: Path) -> Iterator[None]:
    """Give importances to a run before a `with` block that measures what is missing; keep them.

    Whoever needs the same ones meanwhile waits. What is damaged counts as none and is replaced.

    Args:
        run: with its network, on its device.
        shared: as in `place_of`.

    Raises:
        LedgerError: the run's own file is damaged.
        StorageError: the file system does not take a copy.
    """
    own = run.folder.importance
    known = ImportanceStore(own) if own.exists() else None
    if known is not None and known.identity != run.origin:
        # Somebody put it there; who goes on with it refuses it.
        yield
        return
    place = place_of(shared, run.record)
    place.path.mkdir(parents=True, exist_ok=True)
    if known is not None and known.complete:
        yield
        _offer(run, place, all_by_itself=False)
        return
    with _alone_in(place.path, run):
        sweep_partials(place.path)
        others = _known_of_others(run, place)
        if others is not None and len(others.measured) > (len(known.measured) if known else 0):
            _adopt(run, others)
        publish_text(place.path / MEASURER, str(run.folder.path.absolute()), durable=False)
        yield
        _offer(run, place, all_by_itself=others is None)


def seconds_of_measuring(folder: RunFolder, shared: Path) -> float | None:
    """Return the seconds in which a trial's importances were measured, by whomever.

    Args:
        folder: of the trial, at least in that stage.
        shared: as in `place_of`.

    Returns:
        None where a part of it is not known.
    """
    record = folder.read_record()
    if record is None or not record["devices"]:
        return None
    place = place_of(shared, record)
    whose = place if place.importance.exists() else folder
    return times_of(whose, whole=True).get(IMPORTANCE)


def _function_of(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the importances of a run are a function of, beside their configuration."""
    digests = {key: value for key, value in origin(record).items() if key != "config"}
    settings = {key: record[key] for key in ("threads", "environment")}
    return {**digests, **settings, "device": record["devices"][-1]["device"]}


def _is_shareable(record: Mapping[str, Any], store: ImportanceStore) -> bool:
    """Return whether every other run would have found the same bits."""
    return len(record["devices"]) == 1 and not store.halvings


@contextmanager
def _alone_in(place: Path, run: Run) -> Iterator[None]:
    lock = place / ".lock"
    with ExitStack() as stack:
        try:
            stack.enter_context(locked(lock, timeout_s=0))
        except Timeout:
            # A sweep shows no trial's notes; whoever wonders why one stands still reads its log.
            log.info("%s waits_for=%s", run.folder.importance.name, place)
            stack.enter_context(locked(lock))
        yield


def _known_of_others(run: Run, place: RunFolder) -> ImportanceStore | None:
    """Return what is measured already: all of it, or what the last measurer got to."""
    whole = _store_in(place.importance, _shared_identity(run))
    if whole is not None and whole.complete:
        return whole
    try:
        measurer = RunFolder(Path((place.path / MEASURER).read_text(encoding="utf-8")))
        record = measurer.read_record()
    except (OSError, ValueError, KvasirPruneError):
        return None
    if record is None or measurer.path == run.folder.path.absolute():
        return None
    if not record["devices"] or _function_of(record) != _function_of(run.record):
        return None
    part = _store_in(measurer.importance, origin(record))
    return part if part is not None and _is_shareable(record, part) else None


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


def _offer(run: Run, place: RunFolder, *, all_by_itself: bool) -> None:
    """Keep what a run has measured for all others, if they would have found the same."""
    identity = _shared_identity(run)
    known, store = _store_in(place.importance, identity), ImportanceStore(run.folder.importance)
    if (known is not None and known.complete) or not _is_shareable(run.record, store):
        return
    store.path, store.identity = place.importance, identity
    store.commit()
    seconds = times_of(run.folder, whole=True).get(IMPORTANCE) if all_by_itself else None
    publish_times(place, {} if seconds is None else {IMPORTANCE: seconds})


def _adopt(run: Run, store: ImportanceStore) -> None:
    settings = run.config.importance
    store.path, store.identity = run.folder.importance, run.origin
    store.low, store.high = settings.low, settings.high
    # Twice: every file of a run has a commit before the last, in case that is damaged.
    store.commit()
    store.commit()
