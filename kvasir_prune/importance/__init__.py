"""Node importance (thesis eq. 3.1): the scorer seam, the exact and the reference scorer."""
