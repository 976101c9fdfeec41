"""The configured scorer; the `__init__` of this room imports none, as `status` needs no Keras."""

from __future__ import annotations

from kvasir_prune.config.method import ImportanceConfig
from kvasir_prune.importance.exact import ExactScorer
from kvasir_prune.importance.prefix import Prefix, Prefixes
from kvasir_prune.importance.reference import ReferenceScorer
from kvasir_prune.importance.scorer import Scorer
from kvasir_prune.importance.scoring_set import ScoringSet
from kvasir_prune.models import Chain


def scorer_of(
    settings: ImportanceConfig,
    chain: Chain,
    scoring_set: ScoringSet,
    *,
    prefixes: Prefixes = Prefix,
) -> Scorer:
    """Make the configured scorer of a network on some images.

    Args:
        settings: which scorer, and how much memory it may take.
        chain: the network.
        scoring_set: the images.
        prefixes: makes the prefixes of the exact scorer; the reference scorer has its own.
    """
    size, budget = settings.batch_size, settings.memory_budget_gib
    if settings.scorer == "reference":
        return ReferenceScorer(chain, scoring_set, batch_size=size, memory_budget_gib=budget)
    return ExactScorer(
        chain, scoring_set, batch_size=size, memory_budget_gib=budget, prefixes=prefixes
    )
