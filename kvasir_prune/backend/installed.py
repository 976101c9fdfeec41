"""What is installed and can change a result: versions of packages, and this package's own code."""

from __future__ import annotations

import hashlib
import os
import platform
from collections.abc import Collection, Sequence
from functools import cache
from importlib import metadata
from pathlib import Path

from kvasir_prune import __version__
from kvasir_prune.backend.process import name
from kvasir_prune.errors import BackendError

MODULES = (
    *("keras", "numpy", "h5py", "cv2", "PIL", "imagehash"),
    *("sklearn", "scipy", "statsmodels"),
)
BACKENDS = {"tensorflow": ("tensorflow",), "jax": ("jax", "jaxlib"), "torch": ("torch",)}
"""The modules of each backend, whose versions can change a result."""
GPU_LIBRARIES = ("nvidia-cu", "nvidia-nccl", "nvidia-nv", "jax-cuda")
"""How the names of packages with cuDNN, cuBLAS and the like begin; monitors' do not."""
packages_distributions = cache(metadata.packages_distributions)
"""Module -> packages that bring it. Finding out takes half a second, and a sweep asks for every
trial; what is installed does not change under a process."""
COMPUTING = (
    *("backend", "config", "data", "evaluation", "experiment", "importance", "ledger"),
    *("models", "pruning", "training", "environment.py"),
    *("report/assessment.py", "report/record.py", "report/turning_point.py"),
)
"""Rooms and modules of this package whose code decides what a run finds."""


def versions() -> dict[str, str]:
    """Return module -> version for everything whose version can change a result; loads none.

    Raises:
        BackendError: KERAS_BACKEND names an unknown backend, or one that is not installed.
    """
    providers = packages_distributions()
    _check_installed(providers)
    modules = (*MODULES, *BACKENDS[name()])
    found = {m: metadata.version(providers[m][0]) for m in modules if m in providers}
    found |= _gpu_libraries()
    if switched_off := os.environ.get("NPY_DISABLE_CPU_FEATURES"):
        # NumPy reads it when it is imported, too early to set it back.
        found["numpy without"] = switched_off
    own = {"kvasir_prune": __version__, "kvasir_prune code": _own_code()}
    return {**own, "python": platform.python_version(), "backend": name(), **found}


def code_digest(package: Path = Path(__file__).parents[1], parts: Sequence[str] = COMPUTING) -> str:
    """Return the first 16 hexadecimal digits of the SHA-256 of code, by default all that computes.

    A version number changes when somebody thinks of it; a resumed run must not mix what two states
    of the code compute even if nobody did.

    Args:
        package: its folder.
        parts: rooms and modules in it.
    """
    paths = (package / part for part in parts)
    files = sorted(
        file for path in paths for file in ([path] if path.suffix else path.rglob("*.py"))
    )
    texts = [f"{file.relative_to(package).as_posix()}\0{file.read_text('utf-8')}" for file in files]
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:16]


@cache
def _own_code() -> str:
    return code_digest()


@cache
def _gpu_libraries() -> dict[str, str]:
    names = ((one.name, one.version) for one in metadata.distributions())
    return {name: version for name, version in names if name.startswith(GPU_LIBRARIES)}


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
