"""Fitting with early stopping, resumable to the epoch."""
