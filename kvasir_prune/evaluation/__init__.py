"""What a network does on a split, before and after pruning, and what it costs."""
