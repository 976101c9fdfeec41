"""SIGINT, SIGTERM and SIGUSR1 become an exception, so that the work in hand is committed.

Python runs a signal's handler in the main thread, between two of its own instructions. In a
compiled call of minutes there is none: then a thread, woken by the C side of the signal, ends the
process. Nothing is lost by that, for records are committed by a thread of their own.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from kvasir_prune.errors import Interrupted, StorageError
from kvasir_prune.interruption import Signalled, deliver
from kvasir_prune.standard_error import give_back

WATCHED = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1") if hasattr(signal, name)
)
"""Ctrl-C, the request of a system that shuts down, and Slurm's warning before the time is up."""
GRACE_S = 3.0
"""Seconds in which the main thread is to leave its work."""
OVER = b"\0"


@contextmanager
def interruptible(farewell: Callable[[Interrupted], None]) -> Iterator[None]:
    """Leave the block at the first signal, by `Interrupted`; a second SIGINT acts at once.

    Must be entered in the main thread.

    Args:
        farewell: told before the process ends without leaving the block, because the main thread
            does not come out of a call within `GRACE_S`, or because of the second SIGINT; what it
            writes it must flush.

    Raises:
        Interrupted: one of `WATCHED` came.
        StorageError: it came, and then something could not be committed.
    """
    before = {number: signal.getsignal(number) for number in WATCHED}
    came: list[int] = []

    def stop(number: int, _frame: FrameType | None) -> None:
        came.append(number)
        # Schedulers send SIGTERM more than once; a second SIGINT is the watchdog's.
        for watched in WATCHED:
            signal.signal(watched, _leave)
        deliver(number)

    reading, writing = socket.socketpair()
    writing.setblocking(False)
    watchdog = threading.Thread(
        target=_watch, args=(reading, farewell), name="signals", daemon=True
    )
    watchdog.start()
    woken = signal.set_wakeup_fd(writing.fileno(), warn_on_full_buffer=False)
    for number in WATCHED:
        signal.signal(number, stop)
    try:
        yield
    except Signalled as caught:
        raise Interrupted(caught.number) from None
    except StorageError:
        # Something that should be safe is not.
        raise
    except Exception as error:
        # Raised in a callback of HDF5 or TensorFlow, the signal's exception becomes one of theirs.
        if came:
            raise Interrupted(came[0]) from error
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(woken)
        writing.send(OVER)
        watchdog.join()
        for end in (reading, writing):
            end.close()


def _watch(reading: socket.socket, farewell: Callable[[Interrupted], None]) -> None:
    """Wait for a signal, then for the end of the block, and end the process without it."""
    first = _next(reading, None)
    if first is None or first not in WATCHED:
        return
    until = time.monotonic() + GRACE_S
    while (left := until - time.monotonic()) > 0:
        second = _next(reading, left)
        if second == ord(OVER):
            return
        if second == signal.SIGINT:
            break
    try:
        give_back()
        farewell(Interrupted(first))
    finally:
        os._exit(128 + first)


def _leave(_number: int, _frame: FrameType | None) -> None:
    """Do nothing: the process is on its way out."""


def _next(reading: socket.socket, timeout_s: float | None) -> int | None:
    """Return the next signal that is watched, or `OVER`; None when the time is up."""
    while select.select([reading], [], [], timeout_s)[0]:
        number = reading.recv(1)[0]
        if number in WATCHED or number == ord(OVER):
            return number
    return None
