"""Making records durable while the process is busy with something else."""

from __future__ import annotations

import threading
import time
from typing import Protocol


class Durable(Protocol):
    """What can be committed."""

    def commit(self) -> None:
        """Make everything recorded so far durable; called from a thread of its own."""


_AT_WORK: set[Committer] = set()


def flush(within_s: float) -> None:
    """Commit, from any thread, what has been recorded and is not committed yet.

    Args:
        within_s: wait no longer for a file system that does not answer.
    """
    for committer in tuple(_AT_WORK):
        thread = threading.Thread(target=committer.flush, daemon=True)
        thread.start()
        thread.join(within_s)


class Committer:
    """Commits inside a `with` block: at the latest some seconds after a record, and at its end.

    A compiled call may take minutes, and a process can be killed in it: what was recorded before
    it must not wait for its end.

    Args:
        records: what is committed.
        every_s: seconds; 0 commits every record at once.

    Raises:
        StorageError: a commit failed; raised at the next record, or at the end.
    """

    def __init__(self, records: Durable, every_s: float) -> None:
        self._records, self._every_s = records, every_s
        self._changed, self._committing = threading.Condition(), threading.Lock()
        self._recorded = self._durable = 0
        self._is_over = False
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._work, name="committer", daemon=True)

    def __enter__(self) -> Committer:
        _AT_WORK.add(self)
        if self._every_s > 0:
            self._thread.start()
        return self

    def recorded(self) -> None:
        """Tell that there is something to commit."""
        if self._error is not None:
            raise self._error
        with self._changed:
            self._recorded += 1
            self._changed.notify()
        if self._every_s == 0:
            self._commit()

    def flush(self) -> None:
        """Commit now what waits for its time; a commit under way is waited for."""
        self._commit(only_new=True)

    def __exit__(self, *_error: object) -> None:
        with self._changed:
            self._is_over = True
            self._changed.notify()
        try:
            if self._thread.ident is not None:
                self._thread.join()
        finally:
            # Even if a signal ends the waiting.
            try:
                if self._error is not None:
                    raise self._error
                self._commit()
            finally:
                _AT_WORK.discard(self)

    def _work(self) -> None:
        due = time.monotonic() + self._every_s
        while self._wait_until(due):
            try:
                self._commit()
            except BaseException as error:
                self._error = error
                return
            due = time.monotonic() + self._every_s

    def _wait_until(self, due: float) -> bool:
        """Wait for a record, and until it is due; return False at the end of the block."""
        with self._changed:
            self._changed.wait_for(lambda: self._recorded > self._durable or self._is_over)
            self._changed.wait_for(lambda: self._is_over, timeout=max(0.0, due - time.monotonic()))
            return not self._is_over

    def _commit(self, *, only_new: bool = False) -> None:
        # One at a time: two writers of one temporary file would publish a mixture.
        with self._committing:
            recorded = self._recorded
            if only_new and recorded == self._durable:
                return
            self._records.commit()
            self._durable = recorded
