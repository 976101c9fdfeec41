"""The durable record of a pruning job: memory and HDF5 behind one contract."""

from kvasir_prune.ledger.contract import Ledger
from kvasir_prune.ledger.hdf5 import HDF5Ledger
from kvasir_prune.ledger.memory import MemoryLedger
from kvasir_prune.ledger.state import State

__all__ = ["HDF5Ledger", "Ledger", "MemoryLedger", "State"]
