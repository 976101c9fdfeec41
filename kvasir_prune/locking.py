"""Locks of the operating system, which die with their process."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock

NO_LOCKS = frozenset({errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP})


@contextmanager
def locked(path: Path, *, timeout_s: float = -1) -> Iterator[bool]:
    """Hold the lock on a file for the time of a `with` block.

    Args:
        path: of the file; made if absent.
        timeout_s: wait no longer for another process; -1 waits for as long as it takes.

    Yields:
        Whether there is a lock: some network file systems have none.

    Raises:
        filelock.Timeout: another process holds it.
        OSError: the file cannot be made.
    """
    # A fallback to the existence of a file would outlive a process that is killed.
    lock = FileLock(path, timeout=timeout_s, fallback_to_soft=False)
    try:
        lock.acquire()
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
    try:
        yield lock.is_locked
    finally:
        lock.release()
