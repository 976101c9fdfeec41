"""The device that a run belongs to: another one may give its losses other last bits."""

from __future__ import annotations

from pathlib import Path

from kvasir_prune.errors import DeviceError, RunFolderError

OTHER_DEVICE = 1e-6
"""Largest relative difference of the losses of one network on two devices."""
ACCEPT = "kvasir-prune run ... --accept-device-change"


def check_device(found: str, expected: str, *, where: Path) -> None:
    """Refuse to go on on another device.

    Args:
        found: the device of this process.
        expected: the one that the run was made on.
        where: the run's folder, for the error.

    Raises:
        DeviceError: the run was made on a GPU, and none is found; a fresh process may find it.
        RunFolderError: it is another device.
    """
    if found == expected:
        return
    if expected.startswith("GPU") and not found.startswith("GPU"):
        raise DeviceError(
            "The run was made on a GPU, and the backend finds none.",
            where=where,
            got=found,
            expected=expected,
            fix="make the GPU visible, or go on without it, accepting that the result is not "
            f"bit for bit the same: {ACCEPT}",
        )
    raise RunFolderError(
        "The run was made on another device, whose losses may have other last bits.",
        where=where,
        got=found,
        expected=expected,
        fix="go on there, give a new folder with --run-dir, or accept that the result is not, "
        f"bit for bit, that of one device: {ACCEPT}",
    )
