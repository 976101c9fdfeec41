"""What Keras computes on."""

from __future__ import annotations

from importlib import import_module

from kvasir_prune.backend.process import name
from kvasir_prune.environment import processor


def device() -> str:
    """Return what Keras computes on: the models of the GPUs, or of the processor."""
    gpus = _gpus()
    return f"GPU {', '.join(gpus)}" if gpus else processor()


def on_gpu() -> bool:
    """Return whether Keras computes on a GPU."""
    return bool(_gpus())


def _gpus() -> list[str]:
    """Return the models of the GPUs that the backend finds."""
    if name() == "tensorflow":
        import tensorflow as tf

        details = tf.config.experimental.get_device_details
        return [
            str(details(gpu).get("device_name", "GPU"))
            for gpu in tf.config.list_physical_devices("GPU")
        ]
    if name() == "jax":
        import jax

        return [str(one.device_kind) for one in jax.devices() if one.platform != "cpu"]
    torch = import_module("torch")
    return [torch.cuda.get_device_name(n) for n in range(torch.cuda.device_count())]
