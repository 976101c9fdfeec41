"""The experiments of the thesis's chapter 4: which of its findings hold, and docs/chapter4.md."""
