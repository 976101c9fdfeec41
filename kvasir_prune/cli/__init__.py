"""The command line: `kvasir-prune`."""

from __future__ import annotations

import signal
import sys

from kvasir_prune.errors import KvasirPruneError


def main() -> None:
    """Run a command; errors raised on purpose become a sentence and an exit code."""
    try:
        from kvasir_prune.cli.app import app

        app()
    except KvasirPruneError as error:
        print(f"kvasir-prune: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except OSError as error:
        if error.errno is None:
            raise
        print(f"kvasir-prune: {_refused_by_the_machine(error)}", file=sys.stderr)
        sys.exit(KvasirPruneError.exit_code)
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)


def _refused_by_the_machine(error: OSError) -> KvasirPruneError:
    """A full disk, a read-only file system, a path that cannot be: no bug, so no traceback."""
    return KvasirPruneError(
        f"The machine refused to read or write: {error.strerror}.",
        where=error.filename,
        fix="make room or mend the path and its permissions, then start the same command again; "
        "what was committed is safe",
    )


__all__ = ["main"]
