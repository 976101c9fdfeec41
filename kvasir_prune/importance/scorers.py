"""The scorers by name; the `__init__` of this room imports none, as `status` needs no Keras."""

from __future__ import annotations

from kvasir_prune.config.method import ImportanceConfig
from kvasir_prune.importance.exact import ExactScorer
from kvasir_prune.importance.reference import ReferenceScorer
from kvasir_prune.importance.scorer import Scorer
from kvasir_prune.importance.scoring_set import ScoringSet
from kvasir_prune.models import Chain

SCORERS: dict[str, type[ExactScorer] | type[ReferenceScorer]] = {
    "exact": ExactScorer,
    "reference": ReferenceScorer,
}
"""By the name that `importance.scorer` gives them."""


def scorer_of(settings: ImportanceConfig, chain: Chain, scoring_set: ScoringSet) -> Scorer:
    """Make the configured scorer of a network on some images."""
    return SCORERS[settings.scorer](
        chain,
        scoring_set,
        batch_size=settings.batch_size,
        memory_budget_gib=settings.memory_budget_gib,
    )
