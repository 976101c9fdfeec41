"""Killing, interrupting and corrupting runs, and checking that nothing comes of it."""
