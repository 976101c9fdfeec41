"""Settings of a process that can change the last bits of a loss, and the device it computes on.

They are recorded when a run starts. When it goes on, the settings are set again, whatever they are
by then, and another device is refused.
"""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from threadpoolctl import threadpool_limits

from kvasir_prune.errors import BackendError

VARIABLES = (
    "TF_ENABLE_ONEDNN_OPTS",
    "ONEDNN_MAX_CPU_ISA",
    "DNNL_MAX_CPU_ISA",
    "TF_XLA_FLAGS",
    "XLA_FLAGS",
    "TF_NUM_INTEROP_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "OMP_NUM_THREADS",
    "NVIDIA_TF32_OVERRIDE",
    "CUBLAS_WORKSPACE_CONFIG",
    "TF_CUDNN_USE_AUTOTUNE",
    "TF_USE_CUDNN_BATCHNORM_SPATIAL_PERSISTENT",
    "JAX_DEFAULT_MATMUL_PRECISION",
    "JAX_ENABLE_X64",
    "JAX_DEFAULT_DTYPE_BITS",
    "JAX_DISABLE_JIT",
    "JAX_DEFAULT_PRNG_IMPL",
    "JAX_THREEFRY_PARTITIONABLE",
)
INSTRUCTION_SETS = (
    "avx2",
    "fma",
    "avx512f",
    "avx_vnni",
    "avx512_vnni",
    "avx512_bf16",
    "avx512_fp16",
    "amx_bf16",
    "amx_fp16",
    "asimd",
    "sve",
    "bf16",
)
"""By which numerical libraries choose their kernels."""
XLA_IN_FULL = ("--xla_cpu_enable_fast_math=false", "--xla_cpu_enable_fast_min_max=false")
"""XLA's CPU code could otherwise be told to reorder sums, and not to mind what is no number."""
XLA_REPEATABLE = "--xla_gpu_deterministic_ops=true"
OWN_XLA_FLAGS = {"tensorflow": XLA_IN_FULL, "jax": (XLA_REPEATABLE, *XLA_IN_FULL)}
"""Backend -> flags that are set in every process, and so are no setting of a run's."""


@contextmanager
def repeatable_sums() -> Iterator[None]:
    """Give NumPy's matrix products one thread.

    With more the order of their sums, and so their last bits, depends on how many processors this
    process was given. TensorFlow's and JAX's threads are pinned elsewhere.
    """
    with threadpool_limits(limits=1, user_api="blas"):
        yield


def found() -> dict[str, str]:
    """Return the variables of `VARIABLES` that are set, without `OWN_XLA_FLAGS`."""
    values = {name: os.environ[name] for name in VARIABLES if name in os.environ}
    # This process may have set its own already, or one that started it.
    given, _ = _xla_flags()
    values.pop("XLA_FLAGS", None)
    return values | ({"XLA_FLAGS": " ".join(given)} if given else {})


def set_xla_flags() -> None:
    """Set `OWN_XLA_FLAGS` behind those that are given: XLA takes the last, when first needed."""
    given, own = _xla_flags()
    if own:
        os.environ["XLA_FLAGS"] = " ".join([*given, *own])


def _xla_flags() -> tuple[Sequence[str], Sequence[str]]:
    """Return the flags that somebody gave, and this package's own."""
    own = OWN_XLA_FLAGS.get(os.environ["KERAS_BACKEND"], ())
    return [flag for flag in os.environ.get("XLA_FLAGS", "").split() if flag not in own], own


def restore(recorded: Mapping[str, str]) -> dict[str, tuple[str | None, str | None]]:
    """Set the variables to what was recorded; before the backend is loaded.

    Returns:
        Variable -> its value as found and as recorded, for those that had to be changed.

    Raises:
        BackendError: the backend is loaded already, with other values.
    """
    own = found()
    changed = {
        name: (own.get(name), recorded.get(name))
        for name in VARIABLES
        if own.get(name) != recorded.get(name)
    }
    if changed and "keras" in sys.modules:
        name, (is_now, was) = next(iter(changed.items()))
        raise BackendError(
            "This process has loaded its backend with other settings, which cannot be changed.",
            where=f"environment variable {name}",
            got=is_now,
            expected=was or "that it is not set",
            fix="give the same command again: it begins with what is left, in a new process",
        )
    for name, (_, value) in changed.items():
        if value is None:
            del os.environ[name]
        else:
            os.environ[name] = value
    return changed


def processor(facts: Path = Path("/proc/cpuinfo")) -> str:
    """Return the model of the processor, with those of `INSTRUCTION_SETS` that it has.

    Args:
        facts: what Linux says of it; without it there is only the platform's word.
    """
    try:
        lines = facts.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return f"CPU {platform.processor() or platform.machine()}"
    known: dict[str, str] = {}
    for key, _, value in (line.partition(":") for line in lines):
        known.setdefault(key.strip(), value.strip())
    model = known.get("model name") or " ".join(
        known[key] for key in ("CPU implementer", "CPU part") if key in known
    )
    flags = (known.get("flags") or known.get("Features") or "").split()
    sets = " ".join(name for name in INSTRUCTION_SETS if name in flags)
    return f"CPU {model or platform.machine()} ({sets})"


def memory_bytes() -> int | None:
    """Return the memory of the machine; None where the system does not tell."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None
