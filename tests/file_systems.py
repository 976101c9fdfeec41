"""Real file systems with real faults; tests are skipped by name where none may be mounted."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


def mount(*arguments: object) -> None:
    """Call `mount`; skip the test where that is not allowed."""
    command = ["mount", *map(str, arguments)]
    is_there = shutil.which("mount") is not None
    if not is_there or subprocess.run(command, check=False, capture_output=True).returncode != 0:
        pytest.skip("a file system may not be mounted here")


def unmount(place: Path) -> None:
    """Take a file system away, open files or not."""
    subprocess.run(["umount", "-l", str(place)], check=True)


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """Give a file system in memory of so many bytes."""
    place = folder / "disk"
    place.mkdir()
    mount("-t", "tmpfs", "-o", f"size={size}", "tmpfs", place)
    try:
        yield place
    finally:
        unmount(place)


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Let a folder refuse to be written to, root or not."""
    # A second mount of the folder over itself, for the first may be busy with open files.
    mount("--bind", folder, folder)
    try:
        mount("-o", "remount,bind,ro", folder)
        yield
    finally:
        unmount(folder)
