"""The plan as a table and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.table import Table

from kvasir_prune.progress import duration

if TYPE_CHECKING:
    from kvasir_prune.experiment.plan import Plan
    from kvasir_prune.experiment.planner import LayerPlan

COLUMNS = (
    "layer",
    "nodes",
    "MFLOP per\nevaluation",
    "memory\nGiB",
    "importance\nevaluations",
    "\ntime",
    "pruning\nevaluations",
    "\ntime",
)


def table_of(plan: Plan) -> Table:
    """Return the table, layers in order of the pruning."""
    table = Table(box=None)
    for number, column in enumerate(COLUMNS):
        table.add_column(column, justify="right" if number else "left")
    for layer in plan.layers:
        table.add_row(*_row(layer))
    measured = sum(layer.measured_nodes for layer in plan.layers)
    expected = sum(layer.evaluations for layer in plan.layers)
    table.add_section()
    table.add_row(
        "all",
        str(sum(layer.layer.nodes for layer in plan.layers)),
        "",
        f"{max(layer.footprint.kept for layer in plan.layers) / 2**30:.3g}",
        str(measured),
        duration(plan.importance_s),
        f"{expected:.0f}",
        duration(plan.pruning_s),
    )
    return table


def _row(layer: LayerPlan) -> tuple[str, ...]:
    streamed = " streamed" if layer.footprint.streamed else ""
    return (
        layer.layer.name,
        str(layer.layer.nodes),
        f"{2 * layer.multiply_adds / 1e6:,.{0 if layer.multiply_adds > 5e6 else 2}f}",
        f"{layer.footprint.kept / 2**30:.3g}{streamed}",
        str(layer.measured_nodes),
        duration(layer.importance_s),
        f"{layer.evaluations:.0f}",
        duration(layer.pruning_s),
    )


def sentences_of(plan: Plan) -> tuple[str, ...]:
    """Return what to know about the table."""
    network = "the trained network" if plan.trained else "the initial weights (not trained yet)"
    basis = (
        "the measured importances"
        if plan.measured
        else "what was usual in other runs; better once importance.h5 is there"
    )
    judged = [layer.layer.name for layer in plan.layers if not layer.timed_images]
    timed = f"Timed on this machine with {network}, {plan.images} images in the scoring set."
    if judged:
        timed += f" Judged by their work alone: {', '.join(judged)}."
    total = plan.importance_s + plan.pruning_s + plan.evolution_s
    return (
        timed,
        f"Evaluations expected from {basis}: within about a factor of 2 in all, single layers less "
        "certain; so are the times.",
        f"After the training about {duration(total)}: importance {duration(plan.importance_s)}, "
        f"pruning {duration(plan.pruning_s)}, evolution of the loss for the report "
        f"{duration(plan.evolution_s)}.",
    )


def document_of(plan: Plan) -> dict[str, Any]:
    """Return the plan as JSON values; seconds, bytes, floating-point operations."""
    return {
        "images": plan.images,
        "trained": plan.trained,
        "importances_measured": plan.measured,
        "importance_s": plan.importance_s,
        "pruning_s": plan.pruning_s,
        "evolution_s": plan.evolution_s,
        "layers": [
            {
                "layer": layer.layer.name,
                "nodes": layer.layer.nodes,
                "flops_per_evaluation": 2 * layer.multiply_adds,
                "kept_bytes": layer.footprint.kept,
                "streamed": layer.footprint.streamed,
                "importance_evaluations": layer.measured_nodes,
                "importance_s": layer.importance_s,
                "pruning_evaluations": layer.evaluations,
                "pruning_s": layer.pruning_s,
                "evolution_s": layer.evolution_s,
                "timed_images": layer.timed_images,
            }
            for layer in plan.layers
        ],
    }
