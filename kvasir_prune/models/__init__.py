"""Networks, the chain of their prunable layers, masks and cuts."""

from kvasir_prune.models.build import build
from kvasir_prune.models.chain import Chain, Hidden, read_chain
from kvasir_prune.models.forward import Weights, digest_of, mask, run, weights_of
from kvasir_prune.models.surgery import cut

__all__ = [
    "Chain",
    "Hidden",
    "Weights",
    "build",
    "cut",
    "digest_of",
    "mask",
    "read_chain",
    "run",
    "weights_of",
]
