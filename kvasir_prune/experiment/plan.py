"""What a run will need, said beforehand: evaluations, memory and time for every layer."""

from __future__ import annotations

from dataclasses import dataclass

from kvasir_prune.experiment.context import Run
from kvasir_prune.experiment.planner import LayerPlan, Planner
from kvasir_prune.importance.store import ImportanceStore
from kvasir_prune.models import read_chain


@dataclass(frozen=True)
class Plan:
    """A whole run from the trained network on.

    Attributes:
        layers: that are measured or pruned, in order of the pruning.
        images: of the scoring set.
        trained: whether the trained network was timed, not the initial weights.
        measured: whether the expectation rests on measured importances.
    """

    layers: tuple[LayerPlan, ...]
    images: int
    trained: bool
    measured: bool

    @property
    def importance_s(self) -> float:
        """Seconds predicted for the importance of all nodes."""
        return sum(layer.importance_s for layer in self.layers)

    @property
    def pruning_s(self) -> float:
        """Seconds predicted for the pruning."""
        return sum(layer.pruning_s for layer in self.layers)

    @property
    def evolution_s(self) -> float:
        """Seconds predicted for the evolution of the loss."""
        return sum(layer.evolution_s for layer in self.layers)


def plan(run: Run) -> Plan:
    """Calibrate and predict; the images are prepared already, nothing is written.

    Raises:
        ModelError: the configuration names a layer that the network does not have.
        NumericalError: the network gives no finite loss.
    """
    run.start_backend(computes_results=False)
    trained = run.has(run.folder.model)
    chain = run.chain if trained else read_chain(run.new_model())
    store = ImportanceStore(run.folder.importance) if run.folder.importance.exists() else None
    scoring_set = run.scoring_set(run.config.importance.split)
    splits = [len(rows) for rows in run.dataset.rows.values()]
    planner = Planner(
        run.config, chain, scoring_set, splits=splits, store=store, progress=run.progress
    )
    return Plan(planner.layers(), len(scoring_set), trained, store is not None and store.complete)
