"""SIGINT and SIGTERM become an exception, so that the work in hand is committed on the way out."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from kvasir_prune.errors import Interrupted


@contextmanager
def interruptible() -> Iterator[None]:
    """Raise `Interrupted` in the main thread at the first signal; a second one acts at once."""
    watched = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.getsignal(number) for number in watched}

    def stop(number: int, _frame: FrameType | None) -> None:
        for watched_number in watched:
            signal.signal(watched_number, signal.SIG_DFL)
        raise Interrupted(number)

    for number in watched:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
