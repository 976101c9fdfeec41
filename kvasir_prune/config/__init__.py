"""YAML <-> validated, immutable configuration; all faults at once, each by its YAML path."""

from kvasir_prune.config.load import dump, load_config, sealed, validate
from kvasir_prune.config.schema import RunConfig, digest, identity, with_threads

__all__ = [
    "RunConfig",
    "digest",
    "dump",
    "identity",
    "load_config",
    "sealed",
    "validate",
    "with_threads",
]
