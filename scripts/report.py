"""Door to `kvasir-prune report` for those who call scripts: python scripts/report.py CONFIG."""

import sys

from kvasir_prune.cli import main

sys.argv.insert(1, "report")
main()
