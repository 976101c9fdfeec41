"""Many runs at once: sweeps over settings and seeds, and the tables of what came of them."""
