"""Training: early stopping against Keras's own, and resumption to the bit."""

from __future__ import annotations

import itertools
import math
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvasir_prune.cli.signals import interruptible
from kvasir_prune.config.method import Adam, EarlyStopping, Sgd, TrainingConfig
from kvasir_prune.data.dataset import Dataset
from kvasir_prune.errors import Interrupted, LedgerError, NumericalError
from kvasir_prune.progress import Silent, Task
from kvasir_prune.training import checkpoint, fit
from kvasir_prune.training.fit import epoch_batches, train
from kvasir_prune.training.history import (
    Epoch,
    History,
    best_epoch,
    is_over,
    read_csv,
    stopped_early,
    to_csv,
)
from tests.networks import CLASSES, SMALL, images_and_labels, network, randomise

SGD = Sgd(name="sgd", learning_rate=0.05, momentum=0.5, nesterov=True)
ADAM = Adam(name="adam", learning_rate=0.003)
SHAPES = {"normalised": (6, 6, 1), **{name: shape for name, (_, shape) in SMALL.items()}}
"""Name of a network -> shape of its images."""


def model_of(name: str) -> keras.Model:
    """Build one of ours, or `normalised`: two batch normalisations in a network soon traced."""
    if name != "normalised":
        return network(name)
    model = keras.Sequential(
        [
            keras.Input(SHAPES[name], dtype="uint8"),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Conv2D(5, 3, use_bias=False),
            keras.layers.BatchNormalization(),
            keras.layers.ReLU(),
            keras.layers.Flatten(),
            keras.layers.Dense(7, activation="relu"),
            keras.layers.BatchNormalization(),
            keras.layers.Dense(CLASSES, name="predictions"),
            keras.layers.Softmax(),
        ]
    )
    randomise(model)
    return model


def dataset(name: str) -> Dataset:
    images, labels = images_and_labels(SHAPES[name], 60)
    parts = np.split(np.random.default_rng(1).permutation(60), [36, 50])
    rows = dict(zip(("train", "validation", "test"), parts, strict=True))
    return Dataset(images, labels, tuple("abcd"), rows, "digest")


def settings(optimizer: Sgd | Adam, epochs: int = 5, patience: int = 2) -> TrainingConfig:
    stopping = EarlyStopping(patience=patience)
    return TrainingConfig(
        max_epochs=epochs, batch_size=8, optimizer=optimizer, early_stopping=stopping
    )


def trained(
    name: str, config: TrainingConfig, folder: Path, stop_after: int = 99
) -> tuple[keras.Model, History]:
    folder.mkdir(exist_ok=True)
    model = model_of(name)
    history: History = ()
    steps = train(model, dataset(name), config, folder, seed=7, progress=Silent())
    for number, found in enumerate(steps):
        history = found
        if number == stop_after:
            break
    return model, history


@pytest.mark.parametrize(("name", "optimizer"), [("mlp", ADAM), ("mlp", SGD), ("vgg16_bn", ADAM)])
def test_interrupted_training_ends_with_the_same_bits(
    tmp_path: Path, name: str, optimizer: Sgd | Adam
) -> None:
    """With dropout (mlp) and batch normalisation (vgg16_bn), whose state must come back too."""
    config = settings(optimizer)
    alone, history = trained(name, config, tmp_path / "alone")
    for stop_after in (0, 2):
        trained(name, config, tmp_path / "cut", stop_after)
    resumed, again = trained(name, config, tmp_path / "cut")
    assert again == history
    for one, other in zip(alone.get_weights(), resumed.get_weights(), strict=True):
        assert np.array_equal(one, other)


class Stopped(Exception):
    """The training was stopped from outside."""


class StoppingAt(Silent):
    """Stops a training at a batch; counted from where the training goes on."""

    def __init__(self, batch: int) -> None:
        self._left = batch

    @contextmanager
    def task(self, description: str, total: float | None) -> Iterator[Task]:
        yield self

    def advance(self, steps: float = 1, **facts: object) -> None:
        self._left -= 1
        if self._left < 0:
            raise Stopped

    def foresee(self, done_s: float, left_s: float, **facts: object) -> None:
        """Say nothing."""


@pytest.mark.parametrize(("name", "optimizer"), [("mlp", ADAM), ("normalised", SGD)])
def test_a_training_stopped_within_its_epochs_goes_on_at_the_batch(
    tmp_path: Path, name: str, optimizer: Sgd | Adam, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint, "MOST_OF_TIME", math.inf)
    monkeypatch.setattr(fit, "STRETCH_BYTES", 1)
    config = settings(optimizer, epochs=2).model_copy(update={"commit_every_s": 0.0})
    alone, history = trained(name, config, tmp_path / "alone")
    cut, begun, steps = tmp_path / "cut", set(), 0
    cut.mkdir()
    for _ in range(100):
        model = model_of(name)
        running = train(model, dataset(name), config, cut, seed=7, progress=StoppingAt(5))
        try:
            again = list(running)[-1]
            break
        except Stopped:
            with h5py.File(cut / "checkpoint.h5") as file:
                begun.add(int(file["passed"][0]))
            steps += 1
    assert steps >= 2
    assert begun - {0}
    assert again == history
    for one, other in zip(alone.get_weights(), model.get_weights(), strict=True):
        assert np.array_equal(one, other)


def signalling(function: Callable[..., Any], at: int) -> Callable[..., Any]:
    """Return what sends this process a signal at the end of its so manieth call."""
    calls = itertools.count(1)

    def called(*arguments: Any, **settings: Any) -> Any:
        found = function(*arguments, **settings)
        if next(calls) == at:
            os.kill(os.getpid(), signal.SIGUSR1)
        return found

    return called


@pytest.mark.parametrize(
    ("place", "epochs", "batches"),
    [("in a step", 1, 2), ("between steps", 1, 2), ("validating", 1, 5), ("saving", 1, 5)],
)
def test_a_signal_loses_nothing_of_a_training(
    tmp_path: Path, place: str, epochs: int, batches: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """36 images are 5 batches; no checkpoint within epochs is due."""
    monkeypatch.setattr(fit, "STRETCH_BYTES", 1)
    config = settings(ADAM, epochs=3).model_copy(update={"commit_every_s": 3600.0})
    alone, history = trained("mlp", config, tmp_path / "alone")
    in_second_epoch = 5 * epochs + batches
    with monkeypatch.context() as patched:
        steps_of = fit.backend.training_steps
        match place:
            case "in a step":
                steps = lambda model: signalling(steps_of(model), in_second_epoch)  # noqa: E731
                patched.setattr(fit.backend, "training_steps", steps)
            case "between steps":
                offer = signalling(checkpoint.WithinEpochs.offer, in_second_epoch)
                patched.setattr(checkpoint.WithinEpochs, "offer", offer)
            case "validating":
                patched.setattr(fit, "_validate", signalling(fit._validate, 2))
            case "saving":
                patched.setattr(checkpoint, "save", signalling(checkpoint.save, 2))
        with pytest.raises(Interrupted), interruptible(lambda _: None):
            trained("mlp", config, tmp_path / "cut")
    with h5py.File(tmp_path / "cut" / "checkpoint.h5") as file:
        assert (len(file["history"]), int(file["passed"][0])) == (epochs, batches)
    resumed, again = trained("mlp", config, tmp_path / "cut")
    assert again == history
    for one, other in zip(alone.get_weights(), resumed.get_weights(), strict=True):
        assert np.array_equal(one, other)


@pytest.mark.parametrize(("name", "optimizer"), [("mlp", ADAM), ("normalised", SGD)])
def test_the_weights_do_not_depend_on_how_many_batches_go_in_one_call(
    tmp_path: Path, name: str, optimizer: Sgd | Adam, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, two_batches = settings(optimizer, epochs=2), 2 * 8 * dataset(name).images[0].nbytes
    found = []
    for most in (1, two_batches, 2**30):
        monkeypatch.setattr(fit, "STRETCH_BYTES", most)
        found.append(trained(name, config, tmp_path / str(most)))
    (first, history), *others = found
    for model, again in others:
        assert again == history
        for one, other in zip(first.get_weights(), model.get_weights(), strict=True):
            assert np.array_equal(one, other)


@pytest.mark.parametrize("optimizer", [ADAM, SGD])
def test_a_training_is_that_of_keras_on_the_same_batches(
    tmp_path: Path, optimizer: Sgd | Adam
) -> None:
    """Without dropout, whose draws are taken once more where Keras builds its training step."""
    config = settings(optimizer, epochs=2).model_copy(update={"early_stopping": None})
    ours, _ = trained("normalised", config, tmp_path)
    model, data = model_of("normalised"), dataset("normalised")
    theirs = keras.Model(model.inputs, model.get_layer("predictions").output)
    kind = keras.optimizers.Adam if optimizer is ADAM else keras.optimizers.SGD
    theirs.compile(
        kind(**optimizer.model_dump(exclude={"name"})),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    for epoch in (1, 2):
        for rows in epoch_batches(data, 8, 7, epoch):
            theirs.train_on_batch(data.images[rows], data.labels[rows])
    for one, other in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        assert one == pytest.approx(other, rel=1e-4, abs=1e-6)


def test_the_best_weights_are_restored(tmp_path: Path) -> None:
    config = settings(Adam(name="adam", learning_rate=0.01), epochs=30, patience=3)
    model, history = trained("mlp", config, tmp_path)
    best = best_epoch(history, config.early_stopping)
    assert best < len(history)
    data = dataset("mlp")
    view = keras.Model(model.inputs, model.get_layer("predictions").output)
    view.compile(loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    rows = data.rows["validation"]
    loss = view.evaluate(data.images[rows], data.labels[rows], verbose=0)
    assert loss == pytest.approx(history[best - 1].validation_loss, rel=1e-5)


def test_training_figures_are_means_over_the_images(tmp_path: Path) -> None:
    """With steps too small to matter they equal Keras's own evaluation; the last batch is short."""
    config = settings(Sgd(name="sgd", learning_rate=1e-20), epochs=1)
    model, history = trained("ann", config, tmp_path)
    data = dataset("ann")
    view = keras.Model(model.inputs, model.get_layer("predictions").output)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    view.compile(loss=loss, metrics=["accuracy"])
    rows = data.rows["train"]
    expected = view.evaluate(data.images[rows], data.labels[rows], verbose=0)
    assert [history[0].train_loss, history[0].train_accuracy] == pytest.approx(expected, rel=1e-5)


def test_the_order_of_images_differs_from_epoch_to_epoch_and_is_a_permutation() -> None:
    def order(seed: int, epoch: int) -> list[int]:
        batches = epoch_batches(dataset("mlp"), 8, seed, epoch)
        return [int(row) for batch in batches for row in batch]

    assert order(1, 1) == order(1, 1)
    assert order(1, 1) != order(1, 2)
    assert order(1, 1) != order(2, 1)
    assert sorted(order(1, 2)) == sorted(dataset("mlp").rows["train"].tolist())


def epochs_of(losses: list[float]) -> History:
    return tuple(Epoch(n, 1.0, 0.5, loss, 0.5) for n, loss in enumerate(losses, start=1))


@given(
    st.lists(st.integers(0, 6).map(float), min_size=1, max_size=15),
    st.integers(1, 4),
    st.sampled_from([0.0, 1.0]),
)
def test_early_stopping_is_keras_s_own(
    losses: list[float], patience: int, min_delta: float
) -> None:
    """Keras's callback, fed the same losses, stops at the same epoch and keeps the same weights."""
    theirs = keras.callbacks.EarlyStopping(
        monitor="val_loss", patience=patience, min_delta=min_delta
    )
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.stop_training = False
    theirs.set_model(model)
    theirs.on_train_begin()
    config = TrainingConfig(
        max_epochs=100,
        early_stopping=EarlyStopping(patience=patience, min_delta=min_delta),
    )
    history = epochs_of(losses)
    for number, loss in enumerate(losses):
        theirs.on_epoch_end(number, {"val_loss": loss})
        assert stopped_early(history[: number + 1], config) == bool(model.stop_training)
        if model.stop_training:
            break
    assert best_epoch(history[: number + 1], config.early_stopping) == theirs.best_epoch + 1


def test_without_early_stopping_the_last_weights_are_kept() -> None:
    config = TrainingConfig(max_epochs=3)
    history = epochs_of([1.0, 3.0, 2.0])
    assert best_epoch(history, None) == 3
    assert is_over(history, config)
    assert not is_over(history[:2], config)


def test_history_survives_csv_to_the_bit(tmp_path: Path) -> None:
    history = (Epoch(1, 1 / 3, 0.1, 2 / 7, 1e-17), Epoch(2, 5e300, 0.2, 0.3, 0.4))
    (tmp_path / "h.csv").write_text(to_csv(history))
    assert read_csv(tmp_path / "h.csv") == history


def test_a_training_that_diverges_says_so_and_publishes_nothing(tmp_path: Path) -> None:
    config = settings(Sgd(name="sgd", learning_rate=1e30))
    with pytest.raises(NumericalError, match="diverged") as caught:
        trained("mlp", config, tmp_path)
    assert "epoch 1" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_checkpoint_of_another_network_is_refused(tmp_path: Path) -> None:
    trained("mlp", settings(ADAM), tmp_path, stop_after=1)
    with pytest.raises(LedgerError, match="another network"):
        trained("ann", settings(ADAM), tmp_path)


def test_a_checkpoint_cut_short_is_refused_and_kept(tmp_path: Path) -> None:
    trained("mlp", settings(ADAM), tmp_path, stop_after=1)
    path = tmp_path / "checkpoint.h5"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(LedgerError, match="damaged"):
        trained("mlp", settings(ADAM), tmp_path)
    assert path.stat().st_size == 1000
