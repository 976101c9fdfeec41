"""The process that computes: which backend, its threads, its precision."""

from __future__ import annotations

import ctypes
import gc
import os
import platform
import sys
from importlib import import_module

from kvasir_prune.environment import set_xla_flags
from kvasir_prune.errors import BackendError
from kvasir_prune.standard_error import withheld

REDUCED_PRECISION = (
    "ONEDNN_DEFAULT_FPMATH_MODE",
    "DNNL_DEFAULT_FPMATH_MODE",
    "TF_SET_ONEDNN_FPMATH_MODE",
)
"""Variables by which TensorFlow's CPU kernels may be told to round float32 to bfloat16."""
_pinned: dict[str, int] = {}
"""What this process can no longer change."""


def name() -> str:
    """Return the backend of this process: tensorflow, jax or torch."""
    # The package sets the variable when it is imported; asking Keras would load the backend.
    return os.environ["KERAS_BACKEND"]


def load() -> None:
    """Import Keras and its backend; what they write while loading is shown only if it fails."""
    is_fresh = "keras" not in sys.modules
    with withheld():
        import_module("keras")
        if name() == "tensorflow":
            # It warns of functions traced for several shapes, which cut networks have.
            import_module("tensorflow").get_logger().setLevel("ERROR")
    # What the import leaves stays for good; looking through it took a third of a second each time
    # that Python collected its garbage. Later it would keep garbage of this package's too.
    if is_fresh:
        gc.freeze()


def configure(seed: int, threads: int) -> None:
    """Make a run a function of its inputs: seeds, threads, precision, deterministic kernels.

    Must be called before the first operation of the process; later calls may bring another seed.

    JAX offers no call for the number of threads. Its CPU client reads PJRT_NPROC when it is
    created, at the first operation, and that is set here; it is not part of JAX's documented
    interface. Where it is ignored, the pool has a thread for every processor the process may use.

    Args:
        seed: seeds Python, NumPy and the backend, through Keras.
        threads: threads within one operation.

    Raises:
        BackendError: this process has computed with another number of threads.
    """
    _pin_threads(threads)
    set_xla_flags()
    if name() == "jax":
        os.environ["PJRT_NPROC"] = str(threads)
        # JAX would take three quarters of a GPU's memory at once, whoever else computes on it.
        os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    import keras

    # They may be others in keras.json, a file of the user's.
    keras.config.set_floatx("float32")
    keras.config.set_epsilon(1e-7)
    keras.config.set_image_data_format("channels_last")
    keep_freed_memory()
    keras.utils.set_random_seed(seed)
    if name() == "tensorflow":
        import tensorflow as tf

        if tf.config.threading.get_intra_op_parallelism_threads() != threads:
            tf.config.threading.set_intra_op_parallelism_threads(threads)
            tf.config.threading.set_inter_op_parallelism_threads(threads)
        tf.config.experimental.enable_op_determinism()
        for gpu in tf.config.list_physical_devices("GPU"):
            # TensorFlow would take nearly all of a GPU's memory at once.
            if not tf.config.experimental.get_memory_growth(gpu):
                tf.config.experimental.set_memory_growth(gpu, True)
    if name() == "torch":
        torch = import_module("torch")
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(True)
    compute_in_full()


def _pin_threads(threads: int) -> None:
    """Refuse what TensorFlow would refuse in its own words, and JAX would ignore."""
    if _pinned.setdefault("threads", threads) != threads:
        raise BackendError(
            "This process has computed with another number of threads, which cannot be changed.",
            where="runtime.threads",
            got=threads,
            expected=_pinned["threads"],
            fix="give the same command again: it begins with what is left, in a new process",
        )


def compute_in_full() -> None:
    """Switch TF32 and its like off, for the rest of the process.

    On a GPU, float32 products would otherwise be computed from operands rounded to 10 bits, which
    is more than the importance of many a node. oneDNN and XLA read their variables when they are
    first needed.
    """
    for variable in REDUCED_PRECISION:
        os.environ.pop(variable, None)
    set_xla_flags()
    match name():
        case "tensorflow":
            import tensorflow as tf

            tf.config.experimental.enable_tensor_float_32_execution(False)
        case "jax":
            import jax

            jax.config.update("jax_default_matmul_precision", "highest")
        case "torch":
            torch = import_module("torch")
            torch.set_float32_matmul_precision("highest")
            torch.backends.cudnn.allow_tf32 = False


def forget_networks() -> None:
    """Let go of what Keras keeps of the networks of this process, before it builds others."""
    import keras

    keras.backend.clear_session(free_memory=True)


def has_float64() -> bool:
    """Return whether a network in float64 really computes in it.

    On JAX it does not, even with JAX's 64-bit types enabled: some operations of Keras, tanh for
    one, give float32 there.
    """
    return name() != "jax"


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
