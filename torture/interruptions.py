"""Every write, rename, link, sync and deletion of a pruning run interrupted once."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from kvasir_prune.experiment.ownership import OWNER
from torture.case import AFTER_IMPORTANCE, RUN, Ground, differences, result_of, unreadable

_count, _lock = 0, threading.Lock()


def operations() -> int:
    """Return how many operations this process has done since `counting`."""
    return _count


def counting(interrupt_at: int) -> None:
    """Count the operations of this process; at one of them, kill it.

    A write is interrupted in its middle: half of the temporary file is cut off first.
    Heartbeats are not counted: how many there are depends on how long the process lives.
    """
    from kvasir_prune import publish

    def due() -> bool:
        global _count  # noqa: PLW0603  (one process, one count)
        with _lock:
            _count += 1
            return _count == interrupt_at

    def guarded(done: Callable[..., Any]) -> Callable[..., Any]:
        def operation(*arguments: Any, **settings: Any) -> Any:
            if not _is_heartbeat(arguments) and due():
                os.kill(os.getpid(), signal.SIGKILL)
            return done(*arguments, **settings)

        return operation

    sync = publish._sync

    def written(path: Path) -> None:
        if path.is_file() and due():
            os.truncate(path, path.stat().st_size // 2)
            os.kill(os.getpid(), signal.SIGKILL)
        sync(path)

    publish._sync = written
    unlink = Path.unlink

    def unlinked(path: Path, missing_ok: bool = False) -> None:
        if path.exists() and due():
            os.kill(os.getpid(), signal.SIGKILL)
        unlink(path, missing_ok=missing_ok)

    os.fsync = guarded(os.fsync)
    os.link = guarded(os.link)
    Path.replace = guarded(Path.replace)  # type: ignore[method-assign]
    Path.rename = guarded(Path.rename)  # type: ignore[method-assign]
    Path.unlink = unlinked  # type: ignore[method-assign, assignment]


def _is_heartbeat(arguments: Sequence[Any]) -> bool:
    return any(isinstance(one, Path) and one.name == OWNER for one in arguments)


def operations_of(ground: Ground, folder: Path, command: Sequence[str]) -> int:
    """Run a command in `folder` to its end; return how many operations it did."""
    ground.nursery.start(folder, command, -1).wait()
    return int((folder / "operations").read_text())


def interrupt(ground: Ground, most: int | None) -> tuple[int, list[str]]:
    """Interrupt pruning runs of the case, each at another operation, and go on.

    Args:
        ground: where.
        most: how many operations, spread evenly; None: every one.

    Returns:
        How many were interrupted, and what went wrong, a line each.
    """
    folder, faults = ground.place / "interrupted", list[str]()
    prune = ("prune", *RUN[1:], "--set", "pruning.commit_every_s=0")
    ground.case.copy(folder, *AFTER_IMPORTANCE)
    total = operations_of(ground, folder, prune)
    chosen = range(1, total + 1, max(1, -(-total // (most or total))))
    with ground.progress.task("Interrupted operations", len(chosen)) as task:
        for number in chosen:
            run = ground.case.copy(folder, *AFTER_IMPORTANCE)
            code = ground.nursery.start(folder, prune, number).wait()
            if code != -signal.SIGKILL:
                faults.append(f"operation {number}: exit code {code}")
            faults += [f"operation {number}: {name} cannot be read" for name in unreadable(run)]
            child = ground.nursery.start(folder, RUN)
            if child.wait() != 0:
                faults.append(f"operation {number}: {child.log.read_text()}")
            else:
                parts = differences(result_of(run), ground.case.result)
                faults += [f"operation {number}: {part} differs" for part in parts]
            task.advance(faults=len(faults))
    return len(chosen), faults
