"""Signals that wait for the end of work which must not be torn in two."""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType


class Signalled(BaseException):
    """A signal; no `except Exception` between the work and the command line may swallow it."""

    def __init__(self, number: int) -> None:
        self.number = number


@dataclass
class _MainThread:
    """What the main thread is at; only it runs handlers of signals."""

    is_undivided: bool = False
    waiting: Signalled | None = None


_MAIN = _MainThread()


def deliver(number: int) -> None:
    """Raise `Signalled`, now or at the end of an undivided block; called by a signal's handler."""
    if not _MAIN.is_undivided:
        raise Signalled(number)
    _MAIN.waiting = Signalled(number)


class undivided:  # noqa: N801  (used like a function, as contextlib's are)
    """A block of the main thread that signals wait for; not to be nested.

    An error that leaves the block goes before the signal. To be short: a process that does not come
    out of it in time is ended from outside (`cli.signals`).
    """

    def __enter__(self) -> None:
        _MAIN.waiting, _MAIN.is_undivided = None, True

    def __exit__(
        self,
        kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        _MAIN.is_undivided = False
        if kind is None and _MAIN.waiting is not None:
            raise _MAIN.waiting
