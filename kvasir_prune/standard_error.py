"""Standard error, from which the chatter of libraries that load is withheld."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_kept: list[int] = []
"""The file descriptor of what standard error was, while it is withheld."""


@contextmanager
def withheld() -> Iterator[None]:
    """Withhold what the block writes to standard error; if it fails, show it.

    TensorFlow's libraries write to file descriptor 2 before any log level applies. A signal is no
    failure of theirs, and what the user is told of it stands alone.
    """
    with tempfile.TemporaryFile() as chatter:
        sys.stderr.flush()
        original = os.dup(2)
        _kept.append(original)
        os.dup2(chatter.fileno(), 2)
        try:
            yield
        except (Exception, SystemExit):
            chatter.seek(0)
            os.write(original, chatter.read())
            raise
        finally:
            os.dup2(original, 2)
            _kept.remove(original)
            os.close(original)


def give_back() -> None:
    """Let what is written from now on be seen, from whatever thread.

    For a process that has something to say and then ends without leaving the block.
    """
    for original in tuple(_kept):
        # The block may have been left in this instant.
        with suppress(OSError):
            os.dup2(original, 2)
