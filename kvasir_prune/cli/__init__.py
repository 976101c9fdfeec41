"""The command line: `kvasir-prune`."""

from __future__ import annotations

import signal
import sys

from kvasir_prune.errors import KvasirPruneError
from kvasir_prune.publish import storage_error


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
        refused = storage_error(error, error.filename)
        print(f"kvasir-prune: {refused}", file=sys.stderr)
        sys.exit(refused.exit_code)
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)


__all__ = ["main"]
