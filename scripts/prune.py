"""Door to `kvasir-prune prune` for those who call scripts: python scripts/prune.py CONFIG."""

import sys

from kvasir_prune.cli import main

sys.argv.insert(1, "prune")
main()
