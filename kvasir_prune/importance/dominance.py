"""Nodes beside whose contribution the rest of a pre-activation is small.

z - L(h e_n) keeps the rounding of what was subtracted. Where a node contributes far more than all
others together, that is too much for what is left (the cancellation of Goldberg 1991, "What every
computer scientist should know about floating-point arithmetic", section 1.4), and z has to be
computed anew instead.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from kvasir_prune.models.chain import Hidden

DOMINANT = 4.0
"""So many times the largest value without it a node has to contribute to dominate.

Up to there the error is about that of the largest value's own rounding.
"""
MAY_DOMINATE = DOMINANT / (DOMINANT + 1)
"""A contribution up to this share of z's largest value leaves enough of it."""


def largest_contributions(
    hidden: Hidden, reader: keras.layers.Layer, outputs: NDArray[Any], kernel: NDArray[Any]
) -> NDArray[Any]:
    """Return what each node contributes at most to any output of the reader.

    By the inequality of Cauchy and Schwarz, from the norms of the node's values that the reader
    weighs together, and of their weights.

    Args:
        hidden: the layer.
        reader: the Dense or Conv2D layer that reads it.
        outputs: of the layer, (nodes, n, ...).
        kernel: of the reader.

    Returns:
        (nodes,), >= 0.
    """
    by_node = kernel.reshape(-1, hidden.nodes, kernel.shape[-1])
    weights = np.sqrt(np.einsum("pnw,pnw->nw", by_node, by_node).max(axis=1))
    if isinstance(reader, keras.layers.Conv2D):
        values = np.sqrt(len(by_node)) * _largest(outputs)
    elif hidden.positions > 1:
        squares = [np.einsum("ip,ip->i", own, own).max() for own in outputs]
        values = np.sqrt(np.array(squares))
    else:
        values = _largest(outputs)
    contributions: NDArray[Any] = values * weights
    return contributions


def may_dominate(contribution: float, largest: float) -> bool:
    """Return False only where a node certainly does not dominate.

    Args:
        contribution: at most.
        largest: absolute value of z, or less.
    """
    return contribution > MAY_DOMINATE * largest


def dominates(contribution: float, left: float) -> bool:
    """Return whether a node dominates.

    Args:
        contribution: the largest absolute one of the node.
        left: largest absolute value of z without it.
    """
    return contribution > DOMINANT * left


def _largest(outputs: NDArray[Any]) -> NDArray[Any]:
    """Return each node's largest absolute value, (nodes,)."""
    axes = tuple(range(1, outputs.ndim))
    found: NDArray[Any] = np.maximum(outputs.max(axis=axes), -outputs.min(axis=axes))
    return found
