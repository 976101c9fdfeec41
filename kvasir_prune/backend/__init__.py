"""The one place that knows which backend Keras runs on; nothing else imports TensorFlow or JAX."""

from kvasir_prune.backend.failures import computes_wrong, errors_named
from kvasir_prune.backend.fitting import Steps, training_steps
from kvasir_prune.backend.hardware import device, on_gpu
from kvasir_prune.backend.installed import code_digest, versions
from kvasir_prune.backend.process import (
    available_threads,
    compute_in_full,
    configure,
    forget_networks,
    has_float64,
    keep_freed_memory,
    load,
    name,
)
from kvasir_prune.backend.tracing import compiled, compiled_apart, compiled_around, relu, take

__all__ = [
    "Steps",
    "available_threads",
    "code_digest",
    "compiled",
    "compiled_apart",
    "compiled_around",
    "compute_in_full",
    "computes_wrong",
    "configure",
    "device",
    "errors_named",
    "forget_networks",
    "has_float64",
    "keep_freed_memory",
    "load",
    "name",
    "on_gpu",
    "relu",
    "take",
    "training_steps",
    "versions",
]
