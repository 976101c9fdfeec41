"""SIGINT and SIGTERM become an exception, so that the work in hand is committed on the way out."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from kvasir_prune.errors import Interrupted


class _Signalled(BaseException):
    """A signal; no `except Exception` between the work and the command line may swallow it."""

    def __init__(self, number: int) -> None:
        self.number = number


@contextmanager
def interruptible() -> Iterator[None]:
    """Leave the block at the first signal, by `Interrupted`; a second one acts at once.

    Must be entered in the main thread.

    Raises:
        Interrupted: SIGINT or SIGTERM came.
    """
    watched = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.getsignal(number) for number in watched}

    def stop(number: int, _frame: FrameType | None) -> None:
        for watched_number in watched:
            signal.signal(watched_number, signal.SIG_DFL)
        raise _Signalled(number)

    for number in watched:
        signal.signal(number, stop)
    try:
        yield
    except _Signalled as caught:
        raise Interrupted(caught.number) from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
