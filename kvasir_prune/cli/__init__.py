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
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)


__all__ = ["main"]
