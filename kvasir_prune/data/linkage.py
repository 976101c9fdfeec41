"""What hangs together: sets of things joined by links, and by links of links."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components


def linked(count: int, links: Sequence[tuple[int, int]]) -> NDArray[np.int64]:
    """Return (count,) the set that each of `count` things is in, numbered from 0."""
    ends = np.array(links, np.intp).reshape(-1, 2)
    graph = csr_array((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(count, count))
    return np.asarray(connected_components(graph, directed=False)[1], np.int64)
