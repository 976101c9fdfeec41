"""The command line: `kvasir-prune`."""

from __future__ import annotations

import sys

from kvasir_prune.errors import KvasirPruneError


def main() -> None:
    """Run a command; errors raised on purpose become a sentence and an exit code."""
    from kvasir_prune.cli.app import app

    try:
        app()
    except KvasirPruneError as error:
        print(f"kvasir-prune: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


__all__ = ["main"]
