"""The one place that knows which backend Keras runs on; nothing else imports TensorFlow."""

from __future__ import annotations

import ctypes
import os
import platform
import sys
import tempfile
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import packages_distributions, version
from typing import Any

from kvasir_prune import __version__

MODULES = ("keras", "numpy", "h5py", "cv2", "sklearn", "scipy")


def name() -> str:
    """Return the backend of this process: tensorflow, jax or torch."""
    # The package sets the variable when it is imported; asking Keras would load the backend.
    return os.environ["KERAS_BACKEND"]


def load() -> None:
    """Import Keras and its backend without the chatter they write while loading.

    TensorFlow's libraries write to file descriptor 2 before any log level applies. If the import
    fails, what they wrote is shown.
    """
    with tempfile.TemporaryFile() as chatter:
        sys.stderr.flush()
        terminal = os.dup(2)
        os.dup2(chatter.fileno(), 2)
        try:
            import_module("keras")
            if name() == "tensorflow":
                # It warns of functions traced for several shapes, which cut networks have.
                import_module("tensorflow").get_logger().setLevel("ERROR")
        except BaseException:
            chatter.seek(0)
            os.write(terminal, chatter.read())
            raise
        finally:
            os.dup2(terminal, 2)
            os.close(terminal)


def configure(seed: int, threads: int) -> None:
    """Make a run a function of its inputs: seeds, threads, deterministic kernels.

    Must be called before the first operation of the process; later calls may only repeat it.

    Args:
        seed: seeds Python, NumPy and the backend, through Keras.
        threads: threads within one operation.
    """
    import keras

    keep_freed_memory()
    keras.utils.set_random_seed(seed)
    if name() == "tensorflow":
        import tensorflow as tf

        if tf.config.threading.get_intra_op_parallelism_threads() != threads:
            tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.experimental.enable_op_determinism()
        tf.config.experimental.enable_tensor_float_32_execution(False)


def keep_freed_memory() -> None:
    """Let the C library keep what TensorFlow frees, instead of returning it page by page.

    Every operation allocates its output anew. With glibc's defaults, blocks of some megabytes are
    mapped and unmapped each time, and faulting their pages in cost a third of the time of scoring
    a small network (docs/performance.md). Elsewhere nothing is done.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    trim_threshold, mmap_threshold = -1, -3
    library = ctypes.CDLL(None)
    library.mallopt(mmap_threshold, 2**30)
    library.mallopt(trim_threshold, 2**31 - 1)


def available_threads() -> int:
    """Return how many threads this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return `function`, whose arguments are nests of arrays, traced by the backend."""
    if name() == "tensorflow":
        import tensorflow as tf

        traced: Callable[..., Any] = tf.function(function, autograph=False, jit_compile=False)
        return traced
    if name() == "jax":
        import jax

        jitted: Callable[..., Any] = jax.jit(function)
        return jitted
    return function


def versions() -> dict[str, str]:
    """Return module -> version for everything whose version can change a result; loads none."""
    providers = packages_distributions()
    found = {m: version(providers[m][0]) for m in (*MODULES, name()) if m in providers}
    own = {"kvasir_prune": __version__, "python": platform.python_version()}
    return {**own, "backend": name(), **found}
