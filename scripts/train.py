"""Door to `kvasir-prune train` for those who call scripts: python scripts/train.py CONFIG."""

import sys

from kvasir_prune.cli import main

sys.argv.insert(1, "train")
main()
