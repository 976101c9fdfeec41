"""What a user who is left with an unfinished run is told."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console

from kvasir_prune.errors import Interrupted, KvasirPruneError
from kvasir_prune.experiment.ownership import withdraw
from kvasir_prune.ledger.committer import flush

console = Console(stderr=True)
"""Where everything is said that is not a result."""


SUPERVISED = "KVASIR_PRUNE_COMMAND"
"""Variable by which a supervisor tells its processes the command line that the user gave."""


def own_command() -> str:
    """Return the command line to be given again."""
    return os.environ.get(SUPERVISED) or shlex.join(["kvasir-prune", *sys.argv[1:]])


def say_how_to_go_on() -> None:
    """Print the command that goes on with the run."""
    console.print(f"To go on: {own_command()}", markup=False, soft_wrap=True)


@contextmanager
def telling_how_to_go_on() -> Iterator[None]:
    """Print the command that goes on where the block ends by anything but the user's input."""
    try:
        yield
    except KvasirPruneError as error:
        if error.exit_code != KvasirPruneError.exit_code:
            say_how_to_go_on()
        raise
    except OSError:
        say_how_to_go_on()
        raise


def farewell(interrupted: Interrupted) -> None:
    """Do and say what would have been at the end, which the main thread does not reach.

    What is recorded is committed; last of all the run folders are given up.
    """
    flush(within_s=1.0)
    say_how_to_go_on()
    console.print(f"kvasir-prune: {interrupted}", markup=False, soft_wrap=True)
    withdraw(within_s=0.5)
