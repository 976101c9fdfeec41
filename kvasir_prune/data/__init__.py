"""Sources, decoding, the image cache and the split: from files to a `Dataset`."""

from kvasir_prune.data.dataset import Dataset, prepare

__all__ = ["Dataset", "prepare"]
