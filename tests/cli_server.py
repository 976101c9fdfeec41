"""Runs command lines one after another in one process, so that TensorFlow is loaded once.

Reads a JSON list of arguments and a folder per line of standard input; answers each with a line of
JSON: exit code, standard output, standard error. Started by `tests.cli_runs.Server`.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import traceback

from kvasir_prune.cli import main


def serve() -> None:
    with os.fdopen(os.dup(0)) as requests, os.fdopen(os.dup(1), "w") as answers:
        for line in requests:
            arguments, folder = json.loads(line)
            answers.write(json.dumps(run(arguments, folder)) + "\n")
            answers.flush()


def run(arguments: list[str], folder: str) -> tuple[int, str, str]:
    """Run one command line with its output sent to files, that of C++ libraries included."""
    kept = os.dup(1), os.dup(2)
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        os.dup2(out.fileno(), 1)
        os.dup2(err.fileno(), 2)
        try:
            code = exit_code_of(arguments, folder)
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for number, descriptor in enumerate(kept, start=1):
                os.dup2(descriptor, number)
                os.close(descriptor)
        out.seek(0)
        err.seek(0)
        return code, out.read(), err.read()


def exit_code_of(arguments: list[str], folder: str) -> int:
    os.chdir(folder)
    sys.argv = ["kvasir-prune", *arguments]
    try:
        main()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    serve()
