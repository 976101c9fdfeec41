"""Computing losses again before they are recorded: a device may be wrong without saying so."""

from __future__ import annotations

from collections.abc import Sequence

from kvasir_prune.backend import computes_wrong
from kvasir_prune.importance.scorer import Nodes, Scorer
from kvasir_prune.types import Scored


def again(
    scorer: Scorer, layer: str, removed: Nodes, nodes: Sequence[int]
) -> tuple[Scored, ...] | None:
    """Score nodes once more; None where smaller steps give them other last bits."""
    halvings = scorer.halvings(layer)
    scores = scorer.score(layer, removed, nodes)
    return scores if scorer.halvings(layer) == halvings else None


def check_again(scorer: Scorer, layer: str, removed: Nodes, accepted: Sequence[Scored]) -> None:
    """Compare what is about to be recorded with itself, computed once more.

    Args:
        scorer: of the run.
        layer: of the nodes.
        removed: layer name -> nodes that were removed when they were scored.
        accepted: no bounds among them; none: nothing is computed.

    Raises:
        DeviceError: two losses of one node differ in any bit.
    """
    if not accepted:
        return
    found = again(scorer, layer, removed, [one.node for one in accepted]) or accepted
    for first, second in zip(accepted, found, strict=True):
        if (first.loss, first.accuracy) != (second.loss, second.accuracy):
            raise computes_wrong(
                "loss",
                where=f"layer {layer}, node {first.node}",
                got=f"{first.loss!r}, then {second.loss!r}",
            )
