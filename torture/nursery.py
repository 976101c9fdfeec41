"""A process in which Keras is loaded, and which gives birth to commands: each a real process.

Starting Python and TensorFlow takes seconds, a command on the small case takes one or two. The
children are forked before the backend has computed anything, so that they have threads and locks
of their own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Child:
    """A command under way.

    Attributes:
        process: its id; to be killed with `os.kill`.
        log: file of its standard error and output.
        ended: file that holds its wait status once it is over.
    """

    process: int
    log: Path
    ended: Path

    def status(self) -> int | None:
        """Return the exit code, negative for a signal; None while it runs."""
        try:
            return os.waitstatus_to_exitcode(int(self.ended.read_text()))
        except (FileNotFoundError, ValueError):
            return None

    def wait(self, until: float | None = None) -> int | None:
        """Wait for the end, or until a moment of `time.monotonic`; return the exit code."""
        while (code := self.status()) is None and (until is None or time.monotonic() < until):
            time.sleep(0.005)
        return code


class Nursery:
    """Starts commands; to be used in a `with` block.

    Args:
        folder: for logs; made.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._count = folder, 0

    def __enter__(self) -> Nursery:
        quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "", "NO_COLOR": "1"}
        self._process = subprocess.Popen(
            [sys.executable, "-c", "from torture.nursery import serve; serve()"],
            cwd=ROOT,
            env={**os.environ, **quiet},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def start(self, cwd: Path, arguments: Sequence[str], interrupt_at: int = 0) -> Child:
        """Start a command.

        Args:
            cwd: its working folder.
            arguments: of `kvasir-prune`.
            interrupt_at: number of the operation of the publishing primitive, from 1 on, at which
                it kills itself; 0 never, -1 writes their number into `operations` in `cwd`.
        """
        self._count += 1
        name = f"{self._count:06d}"
        log, ended = self._folder / f"{name}.log", self._folder / f"{name}.ended"
        order = [str(cwd), list(arguments), interrupt_at, str(log), str(ended)]
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return Child(int(self._process.stdout.readline()), log, ended)

    def __exit__(self, *_error: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def serve() -> None:
    """Load Keras, then start commands as they come in; one midwife waits for each of them."""
    from kvasir_prune import backend

    backend.load()
    import kvasir_prune.experiment.stages  # noqa: F401

    for line in sys.stdin:
        told, tell = os.pipe()
        if os.fork() == 0:
            _midwife(json.loads(line), tell)
        os.close(tell)
        print(int(os.read(told, 20)), flush=True)
        os.close(told)
        _reap()


def _midwife(order: list[Any], tell: int) -> None:
    """Start a command and write down how it ended."""
    cwd, arguments, interrupt_at, log, ended = order
    child = os.fork()
    if child == 0:
        output = os.open(log, os.O_WRONLY | os.O_CREAT)
        for descriptor in (1, 2):
            os.dup2(output, descriptor)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.close(tell)
        os.chdir(cwd)
        _command(arguments, interrupt_at)
    os.write(tell, str(child).encode())
    _, status = os.waitpid(child, 0)
    Path(f"{ended}.new").write_text(str(status))
    Path(f"{ended}.new").replace(ended)
    os._exit(0)


def _command(arguments: list[str], interrupt_at: int) -> None:
    from kvasir_prune.cli import main
    from torture.interruptions import counting

    sys.argv = ["kvasir-prune", *arguments]
    code: object = 0
    try:
        if interrupt_at:
            counting(interrupt_at)
        main()
    except SystemExit as left:
        code = left.code
    except BaseException:
        import traceback

        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    if interrupt_at == -1:
        from torture.interruptions import operations

        Path("operations").write_text(str(operations()))
    os._exit(code if isinstance(code, int) else 0)


def _reap() -> None:
    """Let go of midwives that are done."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass
