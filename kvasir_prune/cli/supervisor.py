"""Going on in a fresh process when the device has failed: a driver may not recover in the old."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from types import FrameType

from kvasir_prune.cli.resuming import SUPERVISED, own_command
from kvasir_prune.cli.signals import WATCHED
from kvasir_prune.errors import DeviceError

PAUSE_S = 10.0
"""Before the second retry; twice as long before the third, and so on."""
CRASHES = {-getattr(signal, name) for name in ("SIGABRT", "SIGSEGV", "SIGBUS", "SIGFPE", "SIGILL")}
"""Return codes of processes that a device's driver took down; a SIGKILL is somebody's wish."""


def supervise(arguments: Sequence[str], retries: int, note: Callable[[str], None]) -> int:
    """Run the command line in a process of its own, again after each failure of the device.

    Signals go to that process, which commits and ends.

    Args:
        arguments: of the command line.
        retries: how often it may be started again.
        note: told of every new start.

    Returns:
        The exit code of the last process.
    """
    for attempt in range(retries + 1):
        code, signals = _run(arguments)
        if signals and code:
            # Whatever it died of, it was told to stop.
            return 128 + signals[0]
        if code != DeviceError.exit_code and code not in CRASHES:
            break
        if attempt < retries:
            note(f"The device failed (exit code {code}): retry {attempt + 1} of {retries}")
            time.sleep(PAUSE_S * attempt)
    return code if code >= 0 else 128 - code


def without_retries(arguments: Sequence[str]) -> list[str]:
    """Return the arguments of the processes that are supervised."""
    kept, rest = [], iter(arguments)
    for argument in rest:
        if argument == "--retries":
            next(rest, None)
        elif not argument.startswith("--retries="):
            kept.append(argument)
    return kept


def _run(arguments: Sequence[str]) -> tuple[int, list[int]]:
    """Return the exit code of a process, and the signals that were passed on to it."""
    # In a group of its own, or it would get a terminal's SIGINT twice: the second one kills.
    command = [sys.executable, "-m", "kvasir_prune", *arguments]
    came: list[int] = []

    def pass_on(number: int, _frame: FrameType | None) -> None:
        came.append(number)
        if process is not None:
            process.send_signal(number)

    process: subprocess.Popen[bytes] | None = None
    before = {number: signal.signal(number, pass_on) for number in WATCHED}
    try:
        process = subprocess.Popen(
            command, process_group=0, env={**os.environ, SUPERVISED: own_command()}
        )
        for number in tuple(came):
            process.send_signal(number)
        return process.wait(), came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
