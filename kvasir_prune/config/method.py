"""The `training`, `importance`, `pruning`, `evaluation` and `runtime` sections."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from kvasir_prune.config.base import COSMETIC, LATER, LayerNames, PositiveInt, Section

Momentum = Annotated[float, Field(ge=0.0, lt=1.0)]
LearningRate = Annotated[float, Field(gt=0.0)]


class Sgd(Section):
    """Stochastic gradient descent."""

    name: Literal["sgd"]
    learning_rate: LearningRate = 0.001
    """Step size."""
    momentum: Momentum = 0.0
    """Share of the last step that is kept."""
    nesterov: bool = False
    """Nesterov's form of the momentum."""


class Adam(Section):
    """Adam (Kingma and Ba 2015); the defaults are those of the thesis."""

    name: Literal["adam"]
    learning_rate: LearningRate = 0.001
    """Step size."""
    beta_1: Momentum = 0.9
    """Decay of the first moment."""
    beta_2: Momentum = 0.999
    """Decay of the second moment."""
    epsilon: Annotated[float, Field(gt=0.0)] = 1e-7
    """Added to the denominator."""


class EarlyStopping(Section):
    """Stop when the validation loss no longer falls, and go back to the best weights."""

    patience: PositiveInt = 7
    """Epochs without a new best validation loss before the training stops."""
    min_delta: Annotated[float, Field(ge=0.0)] = 0.0
    """How much lower than the best a loss must be to count as better."""


class Rerandomisation(Section):
    """Initial weights drawn anew until enough nodes are important (thesis Algorithm 7)."""

    minimum_important: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.9
    """A layer is done when a larger share of its nodes is important, by `importance`."""
    tries: PositiveInt = 100
    """Times that the weights of a layer's unimportant nodes are drawn; then those of the try with
    the most important nodes stay."""


class TrainingConfig(Section):
    """How the weights are fitted."""

    max_epochs: PositiveInt = 5
    """Passes over the training images, at most."""
    batch_size: PositiveInt = 32
    """Images per step."""
    optimizer: Annotated[Sgd | Adam, Field(discriminator="name")] = Adam(name="adam")
    """The optimizer and its settings."""
    early_stopping: EarlyStopping | None = None
    """When to stop; null trains `max_epochs` epochs and keeps the last weights."""
    rerandomisation: Rerandomisation | None = Field(default=None, json_schema_extra=LATER)
    """What is done with the initial weights first; null: nothing."""
    commit_every_s: Annotated[float, Field(ge=0.0, json_schema_extra=COSMETIC)] = 5.0
    """Seconds between checkpoints within an epoch, at least; more where they are large, so that
    they take no more than a fiftieth of the time."""


class ImportanceConfig(Section):
    """How the importance of nodes is measured (thesis section 3.2)."""

    scorer: Literal["exact", "reference"] = "exact"
    """How losses are computed: `reference` recomputes all that follows the node's layer, one node
    at a time; `exact` gives the same losses and leaves out what cannot have changed."""
    split: Literal["validation", "train"] = "validation"
    """The split on which losses are measured."""
    low: float = -1e-5
    """Below it a node is important; from it upwards it may be removed."""
    high: float = 1e-5
    """Above it a node makes the network worse; between low and high it is a zero node."""
    layers: LayerNames | None = None
    """Layers whose nodes are measured; null: all hidden ones."""
    batch_size: PositiveInt = 256
    """Images per step of scoring; every step has exactly this shape, the last is padded."""
    memory_budget_gib: Annotated[float, Field(gt=0.0)] = 4.0
    """Activations kept for a layer, at most; above it they are recomputed for every block of
    candidates."""

    @model_validator(mode="after")
    def _thresholds_are_ordered(self) -> ImportanceConfig:
        if self.low > self.high:
            raise ValueError(f"low ({self.low}) must not exceed high ({self.high})")
        return self


_KEYS_OF = {"random": ("nodes",), "random_while_improving": ("nodes_at_a_time", "tries")}


class PruningConfig(Section):
    """How nodes are removed (thesis section 3.3)."""

    strategy: Literal[
        "greedy", "exhaustive", "pre_calculated", "random", "random_while_improving"
    ] = "greedy"
    """`greedy` removes the first removable node (Algorithm 9), `exhaustive` the most removable
    one of the layer (Algorithm 8), `pre_calculated` all that were unimportant in the whole network
    (Algorithm 3), `random` so many nodes drawn at random (Algorithm 1), `random_while_improving`
    random groups that make loss and accuracy together better (Algorithm 2)."""
    layers: LayerNames | None = None
    """Layers to prune; null: all hidden ones. Work goes from the last to the first."""
    ignore_below: float | None = -5e-5
    """Greedy: a node with an importance at or below it is not looked at again in its layer;
    null looks at every node again after every removal."""
    nodes: PositiveInt | None = None
    """Random: how many nodes to remove, drawn from all layers at once; every layer keeps one."""
    nodes_at_a_time: PositiveInt | None = None
    """Random while improving: nodes of a group (thesis: 1, 2, 3, 4 and 8)."""
    tries: PositiveInt | None = None
    """Random while improving: groups tried in each layer (thesis: 64)."""
    draw: Annotated[int, Field(ge=0, json_schema_extra=LATER)] = 0
    """Random strategies: which of the draws of a seed, for several on the same network."""
    commit_every_s: Annotated[float, Field(ge=0.0)] = Field(default=1.0, json_schema_extra=COSMETIC)
    """Seconds between two publications of the ledger, at most, while scores arrive."""
    verify_every: Annotated[int, Field(ge=0)] = Field(default=10, json_schema_extra=COSMETIC)
    """Every so manieth loss, of a removal or of a node whose importance is measured, and every so
    manieth step of the evaluation, is computed twice before it is recorded, against a device that
    computes wrong without saying so; 0 never."""

    @model_validator(mode="after")
    def _keys_are_of_the_strategy(self) -> PruningConfig:
        wanted = _KEYS_OF.get(self.strategy, ())
        for key in (key for keys in _KEYS_OF.values() for key in keys):
            given = getattr(self, key) is not None
            if given and key not in wanted:
                raise ValueError(f"strategy {self.strategy} does not read {key}")
            if key in wanted and not given:
                raise ValueError(f"strategy {self.strategy} needs {' and '.join(wanted)}")
        return self


class EvaluationConfig(Section):
    """What is measured before and after pruning."""

    batch_size: PositiveInt = 256
    """Images per step; every step has exactly this shape, the last is padded."""
    every_removals: PositiveInt = Field(default=10, json_schema_extra=LATER)
    """Loss and accuracy of all splits are measured after every so many removals."""
    latency_s: Annotated[float, Field(ge=0.0, json_schema_extra=COSMETIC)] = 5.0
    """Seconds to spend on timing the network before, masked and cut; 0 leaves it out."""


class RuntimeConfig(Section):
    """What can change the last bits of a result without changing its meaning."""

    threads: PositiveInt | None = Field(default=None, json_schema_extra=COSMETIC)
    """Threads of one operation; null takes the processor's at the first start. The run folder
    remembers the number, and a resumed run uses it again."""
