"""What `scripts/benchmark.py` measures: the literal way of the thesis beside the exact scorer."""
