"""Node importance (thesis eq. 3.1): the scorer seam, the reference scorer, Algorithm 4."""
