"""One owner for a run folder: a lock of the operating system, and a heartbeat beside it.

The system drops the lock of a process that dies. But on some network file systems a lock holds on
one host only, and some have none; there the heartbeat of an owner tells that it lives, and its
silence that it does not. No two clocks are compared.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import Timeout

from kvasir_prune.errors import KvasirPruneError, RunFolderError, StorageError
from kvasir_prune.locking import locked
from kvasir_prune.publish import publish_text
from kvasir_prune.standard_error import give_back

LOCK, OWNER = ".lock", ".owner.json"
BEAT_S = 3.0
SILENT_S = 4 * BEAT_S
"""How long an owner that no lock tells of must be silent until its place is taken."""
_HELD: set[_Ownership] = set()


class _Ownership:
    """A place taken in a folder's owner file, with a heart that beats.

    Args:
        path: of the owner file.

    Raises:
        StorageError: the file system does not take it.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._own, self._over = path, str(uuid.uuid4()), threading.Event()
        _beat(path, self._own, 0)
        self._heart = threading.Thread(
            target=_keep_beating, args=(path, self._own, self._over), daemon=True
        )
        self._heart.start()
        _HELD.add(self)

    def end(self) -> None:
        """Stop the heart, then clear the place: a last beat would write it anew."""
        self._over.set()
        self._heart.join()
        if (_read(self._path) or {}).get("owner") == self._own:
            with suppress(OSError):
                self._path.unlink(missing_ok=True)
        _HELD.discard(self)


def withdraw(within_s: float) -> None:
    """Clear, from any thread, every place that this process has taken; it must end at once.

    Args:
        within_s: wait no longer for a file system that does not answer.
    """
    for ownership in tuple(_HELD):
        thread = threading.Thread(target=ownership.end, daemon=True)
        thread.start()
        thread.join(within_s)


@contextmanager
def owning(folder: Path) -> Iterator[None]:
    """Own a folder for the time of a `with` block.

    Raises:
        RunFolderError: another process owns it; the error says which.
        StorageError: the file system takes no file.
    """
    path = folder / OWNER
    with ExitStack() as stack:
        try:
            has_lock = stack.enter_context(locked(folder / LOCK, timeout_s=0))
        except Timeout:
            raise _owned_by(_read(path), folder) from None
        _wait_for_silence(path, folder, has_lock=has_lock)
        ownership = _Ownership(path)
        try:
            yield
        finally:
            ownership.end()


def _wait_for_silence(path: Path, folder: Path, *, has_lock: bool) -> None:
    """Take over from an owner that the lock does not tell of only if its heart has stopped.

    Without locks that is one on this host too: the number of its process may be another's by now.
    What cannot be read now says nothing: a network file system may stumble while a heart beats.
    """
    first = _read(path)
    if first is None or (has_lock and first.get("host") == socket.gethostname()):
        return
    until = time.monotonic() + SILENT_S
    while time.monotonic() < until:
        time.sleep(BEAT_S / 4)
        now = _read(path)
        if now is None:
            return
        if first and now and now != first:
            raise _owned_by(now, folder)
        if now and not first:
            first, until = now, time.monotonic() + SILENT_S


def _keep_beating(path: Path, own: str, over: threading.Event) -> None:
    number = 0
    while not over.wait(BEAT_S):
        number += 1
        try:
            owner = json.loads(path.read_text(encoding="utf-8"))["owner"]
        except FileNotFoundError:
            owner = None
        except (OSError, ValueError, TypeError, KeyError):
            # A network file system that stumbles; it may answer at the next beat.
            continue
        if owner == own:
            with suppress(StorageError):
                _beat(path, own, number)
        elif owner is None and not os.path.exists(path.parent):  # noqa: PTH110  (false on errors)
            _leave(_vanished(path.parent))
        else:
            # It was taken for dead, after a long sleep of this machine. What is not committed yet
            # must stay so: another process is ahead of it.
            _leave(_owned_by(_read(path), path.parent))


def _leave(error: KvasirPruneError) -> None:
    give_back()
    print(f"kvasir-prune: {error}", file=sys.stderr)
    sys.stderr.flush()
    os._exit(error.exit_code)


def _beat(path: Path, own: str, number: int) -> None:
    facts = {"process": os.getpid(), "host": socket.gethostname(), "owner": own, "beat": number}
    publish_text(path, json.dumps(facts), durable=False)


def _read(path: Path) -> dict[str, Any] | None:
    """Return what an owner says; None where nobody does, nothing where it cannot be read."""
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        return {"process": int(facts["process"]), "host": str(facts["host"]), **facts}
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError):
        return {}


def _owned_by(facts: dict[str, Any] | None, folder: Path) -> RunFolderError:
    return RunFolderError(
        "Another process is working in this run folder.",
        where=folder,
        got=f"process {facts['process']} on {facts['host']}" if facts else "a process just started",
        fix="wait for it (`kvasir-prune status` shows how far it is), or give another "
        "folder with --run-dir",
    )


def _vanished(folder: Path) -> StorageError:
    return StorageError(
        "The run folder has vanished.",
        where=folder,
        fix="bring it back (is its disk still mounted?), then give the same command again",
    )
