"""The frozen values that the rooms hand to each other, named as in Charpentier 2020.

Arrays of images are always (batch, height, width, channel), uint8, RGB, 0 to 255. Losses are mean
categorical cross-entropies in nats; accuracies are fractions in [0, 1].
"""

from __future__ import annotations

import math
from dataclasses import dataclass

TRAIN, VALIDATION, TEST = "train", "validation", "test"
SPLITS = (TRAIN, VALIDATION, TEST)


@dataclass(frozen=True)
class LossAccuracy:
    """Mean cross-entropy (nats, float64) and fraction of correct predictions on one image set."""

    loss: float
    accuracy: float


@dataclass(frozen=True)
class LayerSize:
    """A prunable layer: its name in the Keras model and its number of nodes before pruning."""

    name: str
    nodes: int


@dataclass(frozen=True)
class Scored:
    """The loss and accuracy of the network without one node, on the scoring set.

    Where `is_bound`, the loss is only known to be larger than `loss`, and `accuracy` is NaN: the
    evaluation was abandoned once the answer was certain.
    Of a group scored together it is the loss without all of it, and `node` its last.
    """

    node: int
    loss: float
    accuracy: float
    is_bound: bool = False


@dataclass(frozen=True)
class Limits:
    """Losses (nats) beyond which a scorer may do less, because nobody would look at the rest.

    Attributes:
        give_up_above: once a candidate's loss is certain to be above it, a bound is enough.
        enough_at: once a candidate's loss is at or below it, those after it need not be scored.
        only_smallest: of the candidates only the one with the smallest loss matters.
    """

    give_up_above: float = math.inf
    enough_at: float = -math.inf
    only_smallest: bool = False


@dataclass(frozen=True)
class Removed:
    """A node was removed for good; `loss` and `accuracy` are the network's without it.

    `importance` is eq. 3.1, the loss before this removal minus the loss after it; `evaluations`
    counts the candidates scored in the whole run up to and including this one.
    """

    layer: int
    node: int
    importance: float
    loss: float
    accuracy: float
    evaluations: int


@dataclass(frozen=True)
class Ignored:
    """A node is so important that its layer's later scans leave it alone.

    `is_bound` is True where `importance` is only an upper bound, because its evaluation was
    abandoned once the answer was certain.
    """

    layer: int
    node: int
    importance: float
    evaluations: int
    is_bound: bool = False


@dataclass(frozen=True)
class LayerFinished:
    """No remaining node of the layer can be removed; `evaluations` as in `Removed`."""

    layer: int
    evaluations: int


@dataclass(frozen=True)
class Halved:
    """Memory did not suffice: from here on the layer is scored in steps half as large.

    Other steps may give other last bits, so a resumed run must do the same. `evaluations` counts
    the candidates scored before.
    """

    layer: int
    evaluations: int


Entry = Scored | Removed | Ignored | LayerFinished | Halved
