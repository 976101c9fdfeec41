"""`python -m kvasir_prune` is `kvasir-prune`."""

from kvasir_prune.cli import main

main()
