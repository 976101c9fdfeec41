"""Memory that does not suffice: named, met with smaller steps, and remembered by the ledger."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from kvasir_prune import backend
from kvasir_prune.errors import DeviceError, DeviceMemoryError, LedgerError
from kvasir_prune.importance import exact
from kvasir_prune.importance.exact import ExactScorer
from kvasir_prune.importance.measure import begun, measure
from kvasir_prune.importance.program import LayerProgram
from kvasir_prune.importance.scoring_set import ScoringSet
from kvasir_prune.importance.sizes import sizes_for
from kvasir_prune.importance.store import ImportanceStore
from kvasir_prune.ledger import HDF5Ledger, MemoryLedger
from kvasir_prune.models import read_chain
from kvasir_prune.pruning import Greedy, loop, prune
from kvasir_prune.pruning.verification import check_ledger
from kvasir_prune.types import Halved, LayerSize, LossAccuracy, Removed
from tests.networks import images_and_labels, randomise
from tests.toy import ToyScorer

pytestmark = pytest.mark.usefixtures("steps_of_a_processor")

COUNT = 160
MORE_THAN_ANY_MACHINE_HAS = 2**46
STRATEGY = Greedy(-1e-3, -2e-2)


def ask_for_too_much() -> None:
    """Exhaust the memory by a real request; TensorFlow would repeat it for ten seconds."""
    np.ones(MORE_THAN_ANY_MACHINE_HAS)


def ask_the_device_for_too_much() -> None:
    """A GPU says so only when the values are wanted."""
    keras.ops.convert_to_numpy(keras.ops.zeros((MORE_THAN_ANY_MACHINE_HAS,)) + 1)


def test_the_backend_and_numpy_running_out_of_memory_are_named() -> None:
    for exhaust in (ask_for_too_much, ask_the_device_for_too_much):
        with (
            pytest.raises(DeviceMemoryError, match=r"layer fc1(.|\n)*memory_budget_gib"),
            backend.errors_named("layer fc1"),
        ):
            exhaust()


def test_other_errors_stay_what_they_are() -> None:
    for own in (ZeroDivisionError("by 0"), ValueError("CUDA_ERROR"), RuntimeError("no owner")):
        with pytest.raises(type(own), match=str(own)), backend.errors_named("layer fc1"):
            raise own


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("INTERNAL: CUDA_ERROR_OUT_OF_MEMORY: out of memory", DeviceMemoryError),
        ("INTERNAL: failed to create handle: CUBLAS_STATUS_ALLOC_FAILED", DeviceMemoryError),
        ("FAILED_PRECONDITION: DNN library initialization failed.", DeviceError),
        ("NOT_FOUND: No algorithm worked! Error messages:", DeviceError),
        ("Unable to initialize backend 'cuda': no device", DeviceError),
        ("INTERNAL: CUDA_ERROR_ILLEGAL_ADDRESS", DeviceError),
    ],
)
def test_what_gpus_say_is_memory_or_the_device(text: str, kind: type[Exception]) -> None:
    """Texts as CUDA's libraries word them, seen in reports of users of TensorFlow and JAX."""
    with pytest.raises(kind, match="layer fc1"), backend.errors_named("layer fc1"):
        raise RuntimeError(text)


def small_network() -> keras.Model:
    hidden: dict[str, Any] = {"activation": "relu", "kernel_initializer": "zeros"}
    model = keras.Sequential(
        [
            keras.Input((12, 12, 3), dtype="uint8"),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Conv2D(9, 3, name="conv1", **hidden),
            keras.layers.Conv2D(8, 3, name="conv2", **hidden),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(10, name="dense1", **hidden),
            keras.layers.Dense(4, kernel_initializer="zeros"),
        ]
    )
    randomise(model)
    return model


def scorer() -> ExactScorer:
    model = small_network()
    images, labels = images_and_labels(model.input_shape[1:], COUNT)
    scored = ScoringSet(images, np.arange(COUNT), labels)
    return ExactScorer(read_chain(model), scored, batch_size=64, memory_budget_gib=4.0)


def sizes() -> tuple[LayerSize, ...]:
    return tuple(hidden.size for hidden in reversed(read_chain(small_network()).hidden))


@pytest.fixture
def small_memory(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A device on which steps of conv1 over 20 images exhaust the memory, by a real request."""
    whole = LayerProgram.__init__

    def limited(self: LayerProgram, chain: Any, hidden: Any, shape: Any, **more: Any) -> None:
        whole(self, chain, hidden, shape, **more)
        score = self.score

        def score_or_exhaust(*arguments: Any) -> Any:
            if hidden.name == "conv1" and shape.segments * shape.images > 20:
                ask_for_too_much()
            return score(*arguments)

        self.score = score_or_exhaust

    monkeypatch.setattr(LayerProgram, "__init__", limited)
    return monkeypatch


def ledger_at(path: Path) -> HDF5Ledger:
    return HDF5Ledger(path, layers=sizes(), baseline=scorer().evaluate({}))


def test_pruning_goes_on_in_halved_steps_and_a_resumed_run_in_the_same(
    small_memory: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    whole = ledger_at(tmp_path / "whole.h5")
    for _ in prune(STRATEGY, scorer(), whole, commit_every_s=60):
        pass
    halvings = [entry for entry in whole.entries if isinstance(entry, Halved)]
    assert [sizes()[entry.layer].name for entry in halvings] == ["conv1"]

    path = tmp_path / "killed.h5"
    for state in prune(STRATEGY, scorer(), ledger_at(path), commit_every_s=0):
        if state.halvings and len(state.removed[state.layer]) == 1:
            break
    small_memory.undo()
    resumed = HDF5Ledger(path)
    assert resumed.state.halvings == 1
    for _ in prune(STRATEGY, scorer(), resumed, commit_every_s=60):
        pass
    assert resumed.entries == whole.entries

    enough = ledger_at(tmp_path / "enough.h5")
    for _ in prune(STRATEGY, scorer(), enough, commit_every_s=60):
        pass
    assert enough.state.removed == whole.state.removed


def test_outputs_of_a_halved_layer_do_not_come_by_from_steps_of_another_size() -> None:
    """A run resumed within that layer computes them in its own steps."""
    halved, hidden = scorer(), read_chain(small_network()).hidden
    assert [layer.name for layer in halved._sizing.beside(hidden[2])] == ["conv1", "conv2"]
    halved.halve("conv1", 1)
    assert [layer.name for layer in halved._sizing.beside(hidden[2])] == ["conv2"]


def test_importances_remember_the_smaller_steps(
    small_memory: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def store() -> ImportanceStore:
        return ImportanceStore(
            tmp_path / "importance.h5", layers=sizes(), baseline=scorer().evaluate({})
        )

    for _ in measure(scorer(), store(), commit_every_s=0):
        if store().halvings:
            break
    assert store().halvings == {"conv1": 1}
    small_memory.undo()
    again, rest = scorer(), store()
    for _ in measure(again, rest, commit_every_s=60):
        pass
    assert again.halvings("conv1") == 1
    assert rest.complete


@pytest.fixture
def tiny_memory(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A device that the first steps of dense1, over 6144 rows, exhaust."""
    whole = LayerProgram.preactivation

    def limited(self: LayerProgram, outputs: Any, reader: Any) -> Any:
        if self.hidden.name == "dense1" and self.shape.segments > 24:
            ask_for_too_much()
        return whole(self, outputs, reader)

    monkeypatch.setattr(LayerProgram, "preactivation", limited)
    return monkeypatch


def test_the_steps_of_the_first_loss_are_remembered(
    tiny_memory: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    scorers = [scorer(), scorer()]
    ledger = loop.begun(scorers[0], tmp_path / "pruning.h5", sizes(), {})
    limits = {"low": -1e-5, "high": 1e-5}
    store = begun(scorers[1], tmp_path / "importance.h5", sizes()[::-1], **limits, identity={})
    assert ledger.entries == (Halved(0, 0),)
    assert ImportanceStore(store.path).halvings == {"dense1": 1}
    tiny_memory.undo()
    resumed = scorer()
    check_ledger(resumed, HDF5Ledger(ledger.path))
    for _ in prune(STRATEGY, resumed, ledger, commit_every_s=60):
        pass
    assert ledger.entries.count(Halved(0, 0)) == 1


class Halving(ToyScorer):
    """Has memory for steps halved so often; the last bits of its losses depend on that."""

    def __init__(self, suffices: int) -> None:
        super().__init__(lambda _: 1.0 + 1e-15 * self._times)
        self._suffices, self._times = suffices, 0

    def halvings(self, layer: str) -> int:
        return self._times

    def halve(self, layer: str, times: int) -> None:
        self._times = max(self._times, times)

    def evaluate(self, removed: Any, *, layer: str | None = None) -> LossAccuracy:
        self._times = max(self._times, self._suffices)
        return super().evaluate(removed, layer=layer)


@pytest.mark.parametrize("since", [0, 1])
def test_the_first_loss_is_compared_in_the_steps_that_gave_it(tmp_path: Path, since: int) -> None:
    """Before any removal; the steps may have been halved again since."""
    ledger = loop.begun(Halving(2), tmp_path / "pruning.h5", sizes(), {})
    ledger.record((Halved(0, 0),) * since)
    for memory in (0, 1, 2):
        check_ledger(Halving(memory), ledger)
    with pytest.raises(DeviceMemoryError, match="less memory now"):
        check_ledger(Halving(3 + since), ledger)
    other = MemoryLedger(sizes(), LossAccuracy(1.0 + 1e-14, 0.5), ledger.entries)
    with pytest.raises(LedgerError, match="with all nodes in place"):
        check_ledger(Halving(0), other)


def test_a_first_loss_in_larger_steps_than_there_is_memory_for_now_is_told_so(
    tmp_path: Path,
) -> None:
    ledger = loop.begun(Halving(0), tmp_path / "pruning.h5", sizes(), {})
    ledger.record((Halved(0, 0),))
    check_ledger(Halving(0), ledger)
    with pytest.raises(DeviceMemoryError, match="less memory now"):
        check_ledger(Halving(1), ledger)


class ShortAtTheSecondLook(Halving):
    """Has no memory left when its first loss is computed again."""

    def score(self, layer: str, *arguments: Any, **more: Any) -> Any:
        if len(self.asked) == 1:
            self.halve(layer, 1)
        return super().score(layer, *arguments, **more)


def test_a_loss_that_cannot_be_computed_again_for_want_of_memory_is_not_recorded() -> None:
    """The ledger would say that it came from smaller steps than it did."""
    ledger = MemoryLedger(sizes(), LossAccuracy(1.0, 0.5))
    steps = prune(STRATEGY, ShortAtTheSecondLook(0), ledger, commit_every_s=60, verify_every=1)
    for _, _ in zip(range(2), steps, strict=False):
        check_ledger(Halving(0), ledger)
    halved, removed = ledger.entries
    assert halved == Halved(0, 0)
    assert isinstance(removed, Removed)
    assert removed.loss == 1.0 + 1e-15


def test_a_step_through_many_positions_stays_within_the_budget() -> None:
    """Of each of its rows the node's values at all positions are fetched, and their weights."""
    model = keras.Sequential(
        [
            keras.Input((112, 112, 1), dtype="uint8"),
            keras.layers.Conv2D(8, 3, padding="same"),
            keras.layers.Flatten(),
            keras.layers.Dense(10),
        ]
    )
    chain, budget = read_chain(model), 2**26
    found = sizes_for(chain, chain.hidden[0], 1200, batch_size=64, budget_bytes=budget)
    rows, positions = found.step.segments * found.step.images, 112 * 112
    assert 4 * positions * (rows + 10 * found.step.segments) < budget
    assert 4 * positions * 8 * found.stretch < budget


def test_where_the_smallest_steps_do_not_suffice_the_error_says_what_to_lower(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def exhaust(*_: Any) -> None:
        ask_for_too_much()

    # TensorFlow waits ten seconds every time, for memory that somebody might free.
    monkeypatch.setattr(exact, "MOST_HALVINGS", 1)
    monkeypatch.setattr(LayerProgram, "preactivation", exhaust)
    with pytest.raises(DeviceMemoryError, match=r"layer dense1(.|\n)*smaller importance"):
        scorer().score("dense1", {}, [0])
