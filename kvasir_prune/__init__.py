"""Exact, resumable structured pruning of Keras 3 image classifiers.

Node importance is the loss with a node minus the loss without it (Charpentier 2020, eq. 3.1).
The rooms of the package, read from top to bottom, are the method: `cli`, `experiment`, `report`,
`pruning`, `importance`, `training`, `evaluation`, `models`, `data`, `ledger`, `config`.
"""

import os

# Keras reads its backend from a user-wide file unless the environment decides; a run must not.
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
# TensorFlow calls a machine without a GPU an error; 0 shows everything again.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

__version__ = "0.1.0"
__all__ = ["__version__"]
