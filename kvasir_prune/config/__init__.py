"""YAML <-> validated, immutable configuration; all faults at once, each by its YAML path."""

from kvasir_prune.config.load import dump, load_config, validate
from kvasir_prune.config.schema import RunConfig, digest, identity

__all__ = ["RunConfig", "digest", "dump", "identity", "load_config", "validate"]
