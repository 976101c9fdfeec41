"""The backend's exceptions, told as our own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from kvasir_prune.errors import DeviceError, DeviceMemoryError, KvasirPruneError

OUT_OF_MEMORY = {"MemoryError", "ResourceExhaustedError", "OutOfMemoryError"}
"""Names of exceptions: of Python and NumPy, of TensorFlow, of torch. JAX has none of its own."""
DEVICE_FAILED = {
    "InternalError",
    "UnknownError",
    "AbortedError",
    "DataLossError",
    "UnavailableError",
    "AcceleratorError",
}
"""Likewise, of TensorFlow, and of torch the last."""
OF_JAX = {"JaxRuntimeError", "XlaRuntimeError"}
JAX_FAILED = ("INTERNAL", "UNKNOWN", "ABORTED", "DATA_LOSS", "UNAVAILABLE")
"""How the text of such an exception begins."""
MEMORY_WORDS = ("RESOURCE_EXHAUSTED", "OUT_OF_MEMORY", "ALLOC_FAILED", "out of memory")
"""In what CUDA, cuBLAS and cuDNN say when a library finds no memory; the exception around it is
then an internal error, or none of those above."""
DEVICE_WORDS = (
    "DNN library initialization failed",
    "No algorithm worked",
    "Unable to initialize backend",
    "CUDA_ERROR",
    "CUBLAS_STATUS",
    "CUDNN_STATUS",
)
"""Likewise, when a GPU or its driver fails, or is so full that its libraries do not start."""


def computes_wrong(what: str, *, where: str, got: str | None = None) -> DeviceError:
    """Return the error of a device that computed one thing twice and came to two results.

    Args:
        what: it computed.
        where: layer and node, or images.
        got: both results, where they can be shown.
    """
    return DeviceError(
        f"The device computes wrong: the same {what} came out otherwise the second time.",
        where=where,
        got=got,
        expected="the same bits; nothing of it was recorded",
        fix="give the same command again, on another device if it happens often",
    )


@contextmanager
def errors_named(where: str) -> Iterator[None]:
    """Raise our own errors where the backend fails, and where NumPy or Python has no memory.

    Args:
        where: what is being computed.

    Raises:
        DeviceMemoryError: the memory is exhausted.
        DeviceError: the device or its driver failed.
    """
    try:
        yield
    except KvasirPruneError:
        raise
    except Exception as error:
        kinds, text = {kind.__name__ for kind in type(error).__mro__}, str(error)
        first = text.partition("\n")[0]
        of_backend = _is_of_backend(error)
        if kinds & OUT_OF_MEMORY or (of_backend and _has(MEMORY_WORDS, text)):
            raise DeviceMemoryError(
                "There is not enough memory.",
                where=where,
                got=first,
                fix="free memory and give the same command again; where there is no more, start in "
                "a new run folder with a smaller importance.memory_budget_gib, "
                "importance.batch_size or training.batch_size",
            ) from error
        failed = kinds & DEVICE_FAILED or (kinds & OF_JAX and text.startswith(JAX_FAILED))
        if failed or (of_backend and _has(DEVICE_WORDS, text)):
            raise DeviceError(
                "The device or its driver failed.",
                where=where,
                got=first,
                fix="give the same command again: it goes on from the last commit; "
                "`kvasir-prune run --retries N` does so by itself",
            ) from error
        raise


def _is_of_backend(error: Exception) -> bool:
    """Return whether an exception is one of a backend's own, or the plain one that it raises."""
    module = type(error).__module__
    return isinstance(error, RuntimeError) or module.startswith(("tensorflow", "jax", "torch"))


def _has(words: tuple[str, ...], text: str) -> bool:
    return any(word in text for word in words)
