"""The scorers by name; the `__init__` of this room imports none, as `status` needs no Keras."""

from kvasir_prune.importance.exact import ExactScorer
from kvasir_prune.importance.reference import ReferenceScorer

SCORERS: dict[str, type[ExactScorer] | type[ReferenceScorer]] = {
    "exact": ExactScorer,
    "reference": ReferenceScorer,
}
"""By the name that `importance.scorer` gives them."""
