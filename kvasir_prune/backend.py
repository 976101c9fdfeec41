"""The one place that knows which backend Keras runs on; nothing else imports TensorFlow or JAX."""

from __future__ import annotations

import ctypes
import os
import platform
import sys
import tempfile
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import packages_distributions, version
from typing import Any

from kvasir_prune import __version__
from kvasir_prune.errors import BackendError, DeviceMemoryError

MODULES = ("keras", "numpy", "h5py", "cv2", "sklearn", "scipy")
BACKENDS = {"tensorflow": ("tensorflow",), "jax": ("jax", "jaxlib"), "torch": ("torch",)}
"""The modules of each backend, whose versions can change a result."""
OUT_OF_MEMORY = {"MemoryError", "ResourceExhaustedError", "OutOfMemoryError"}
"""Names of exceptions: of Python and NumPy, of TensorFlow, of torch. JAX has none of its own."""


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
    """Make a run a function of its inputs: seeds, threads, precision, deterministic kernels.

    Must be called before the first operation of the process; later calls may only repeat it.

    JAX offers no call for the number of threads. Its CPU client reads PJRT_NPROC when it is
    created, at the first operation, and that is set here; it is not part of JAX's documented
    interface. Where it is ignored, the pool has a thread for every processor the process may use.

    Args:
        seed: seeds Python, NumPy and the backend, through Keras.
        threads: threads within one operation.
    """
    if name() == "jax":
        os.environ["PJRT_NPROC"] = str(threads)
        _add_xla_flag("--xla_gpu_deterministic_ops=true")
    import keras

    keep_freed_memory()
    keras.utils.set_random_seed(seed)
    if name() == "tensorflow":
        import tensorflow as tf

        if tf.config.threading.get_intra_op_parallelism_threads() != threads:
            tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.experimental.enable_op_determinism()
    if name() == "torch":
        torch = import_module("torch")
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(True)
    compute_in_full()


def _add_xla_flag(flag: str) -> None:
    flags = os.environ.get("XLA_FLAGS", "")
    if flag not in flags.split():
        os.environ["XLA_FLAGS"] = f"{flags} {flag}".strip()


def compute_in_full() -> None:
    """Switch TF32 and its like off, for the rest of the process.

    On a GPU, float32 products would otherwise be computed from operands rounded to 10 bits, which
    is more than the importance of many a node.
    """
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


def has_float64() -> bool:
    """Return whether a network in float64 really computes in it.

    On JAX it does not, even with JAX's 64-bit types enabled: some operations of Keras, tanh for
    one, give float32 there.
    """
    return name() != "jax"


def compiles_training() -> bool:
    """Return whether Keras has to be told to compile a training step; JAX runs it op by op else."""
    return name() == "jax"


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
    """Return `function`, whose arguments are nests of arrays, traced by the backend.

    Reduced precision is switched off for the whole process, so that a loss is computed in full
    whether or not `configure` was called.
    """
    compute_in_full()
    if name() == "tensorflow":
        return _Traced(function)
    if name() == "jax":
        import jax

        jitted: Callable[..., Any] = jax.jit(function)
        return jitted
    return function


def take(values: Any, places: Any, axis: int = 0) -> Any:
    """Return `values` at some places of an axis, inside a compiled function.

    Keras's `ops.take` allows negative places, for which it computes four operations more.

    Args:
        values: any array.
        places: whole numbers from 0 on, inside the axis; of any shape, which takes its place.
        axis: of `values`.
    """
    if name() == "tensorflow":
        import tensorflow as tf

        return tf.gather(values, places, axis=axis)
    import keras

    return keras.ops.take(values, places, axis=axis)


@dataclass(frozen=True)
class _Graph:
    """A traced function with what a call of it needs, as plain attributes.

    TensorFlow's C code asks for the name at every call; a concrete function computes it in Python,
    where a signal may arrive, and an exception raised there becomes one of TensorFlow's.
    """

    concrete: Any
    name: bytes
    captured: tuple[Any, ...]
    types: tuple[Any, ...]
    structure: Any


class _Traced:
    """A TensorFlow graph for each set of shapes, called as an operation with flat tensors.

    `tf.function`, and a concrete function too, inspect every argument of every call: most of the
    millisecond that a step with fifteen arguments would take to start.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self._graphs: dict[tuple[Any, ...], _Graph] = {}

    def __call__(self, *arguments: Any) -> Any:
        import keras
        import tensorflow as tf

        leaves = keras.tree.flatten(arguments)
        key = tuple((*leaf.shape, leaf.dtype) for leaf in leaves)
        if key not in self._graphs:
            self._graphs[key] = self._graph(arguments, leaves)
        graph = self._graphs[key]
        outputs = tf.raw_ops.StatefulPartitionedCall(
            args=[*leaves, *graph.captured], Tout=graph.types, f=graph
        )
        return keras.tree.pack_sequence_as(graph.structure, outputs)

    def _graph(self, arguments: Any, leaves: list[Any]) -> _Graph:
        import keras
        import tensorflow as tf

        def on_flat(*flat: Any) -> Any:
            return self._function(*keras.tree.pack_sequence_as(arguments, list(flat)))

        traced = tf.function(on_flat, autograph=False, jit_compile=False)
        concrete = traced.get_concrete_function(*map(tf.convert_to_tensor, leaves))
        return _Graph(
            concrete,
            concrete.name,
            tuple(concrete.captured_inputs),
            tuple(out.dtype for out in concrete.outputs),
            concrete.structured_outputs,
        )


@contextmanager
def memory_errors_named(where: str) -> Iterator[None]:
    """Raise `DeviceMemoryError` where the backend, NumPy or Python says that memory is exhausted.

    Args:
        where: what is being computed.
    """
    try:
        yield
    except Exception as error:
        kinds = {kind.__name__ for kind in type(error).__mro__}
        if not kinds & OUT_OF_MEMORY and "RESOURCE_EXHAUSTED" not in str(error):
            raise
        raise DeviceMemoryError(
            "There is not enough memory.",
            where=where,
            got=str(error).partition("\n")[0],
            fix="lower importance.memory_budget_gib and importance.batch_size, or free memory",
        ) from error


def versions() -> dict[str, str]:
    """Return module -> version for everything whose version can change a result; loads none.

    Raises:
        BackendError: KERAS_BACKEND names an unknown backend, or one that is not installed.
    """
    providers = packages_distributions()
    _check_installed(providers)
    modules = (*MODULES, *BACKENDS[name()])
    found = {m: version(providers[m][0]) for m in modules if m in providers}
    own = {"kvasir_prune": __version__, "python": platform.python_version()}
    return {**own, "backend": name(), **found}


def _check_installed(modules: Collection[str]) -> None:
    if name() not in BACKENDS:
        raise BackendError(
            "There is no such backend.",
            where="environment variable KERAS_BACKEND",
            got=name(),
            expected=", ".join(BACKENDS),
            fix="unset the variable for TensorFlow",
        )
    missing = [module for module in BACKENDS[name()] if module not in modules]
    if missing:
        package = "'kvasir-prune[jax]'" if name() == "jax" else name()
        raise BackendError(
            f"The backend {name()} is not installed.",
            where="environment variable KERAS_BACKEND",
            got=f"no module {' and no module '.join(missing)}",
            fix=f"pip install {package}, or unset the variable for TensorFlow",
        )
