"""Ledger, importances and logits -> record -> figures -> HTML, Markdown, JSON; without Keras."""
