"""The calibration against a scorer whose times are known, and prefixes of images that repeat."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from kvasir_prune.config import load_config
from kvasir_prune.experiment import speeds
from kvasir_prune.experiment.speeds import Speeds
from kvasir_prune.importance import calibration
from kvasir_prune.importance.calibration import LayerSpeed, time_layer
from kvasir_prune.importance.cost_model import work_of
from kvasir_prune.importance.periodic import PeriodicPrefixes
from kvasir_prune.importance.prefix import Prefix
from kvasir_prune.importance.scoring_set import ScoringSet
from kvasir_prune.models import Chain, read_chain, weights_of
from kvasir_prune.progress import Silent
from kvasir_prune.types import Limits, Scored
from tests.networks import images_and_labels, network, randomise
from tests.toy import ToyScorer

COUNT, PERIOD = 21, 8


class Clocked(ToyScorer):
    """Takes 100 s to compile, 20 for a prefix and its first comparison, 3 for a call, 2 for a node.

    Of a node that may be given up it wants half a second, for a removal 5.
    """

    def __init__(self) -> None:
        super().__init__(lambda _: 1.0)
        self.now = 100.0
        self._elsewhere: Any = None
        self._gone = 0

    def score(self, layer: str, removed: Any, nodes: Any, **more: Any) -> tuple[Scored, ...]:
        elsewhere = {name: tuple(gone) for name, gone in removed.items() if name != layer}
        if elsewhere != self._elsewhere:
            # The network as it is, is evaluated as one candidate more.
            self.now += 20 + 2 + (100 if self._elsewhere is None else 0)
        gone = len(removed[layer])
        self.now += 5 * max(gone - self._gone, 0)
        self._elsewhere, self._gone = elsewhere, gone
        self.now += 3 + (0.5 if math.isfinite(more["limits"].give_up_above) else 2) * len(nodes)
        return super().score(layer, removed, nodes, **more)


def test_a_scorer_of_known_times_is_timed_right(monkeypatch: pytest.MonkeyPatch) -> None:
    scorer = Clocked()
    monkeypatch.setattr(calibration.time, "perf_counter", lambda: scorer.now)
    found = time_layer(scorer, "a", 30, other="b", limits_of=Limits)
    assert found == LayerSpeed(
        start=100,
        prefix=0,
        ready=20,
        lead=3,
        candidate=2,
        bounded=pytest.approx(0.5),
        removal=5,
        base=2,
    )


def chain_and_images() -> tuple[Chain, ScoringSet]:
    chain = read_chain(network("cnn"))
    images, labels = images_and_labels(chain.layers[0].input.shape[1:], COUNT)
    return chain, ScoringSet(images, np.arange(COUNT), labels)


def test_one_period_is_run_and_the_others_are_taken_from_it() -> None:
    """The images behind the first period are others: what they would give is not there."""
    chain, scored = chain_and_images()
    period, weights = scored.first(PERIOD), weights_of(chain)
    layers = chain.hidden[1:4]
    makes, whole = PeriodicPrefixes(PERIOD), slice(0, COUNT)
    found = makes(chain, layers).run(weights, scored, whole, 5)
    expected = Prefix(chain, layers).run(weights, period, slice(0, PERIOD), 5)
    assert makes.seconds > 0
    # Five steps of 5 images, of which two were run.
    assert makes.spared == 5 / 2 - 1
    for layer in layers:
        for place in range(COUNT):
            own, first = found[layer.name], expected[layer.name]
            assert np.array_equal(own.values[:, place], first.values[:, place % PERIOD])
            assert np.array_equal(own.active[:, place], first.active[:, place % PERIOD])


def test_images_repeat_with_their_labels() -> None:
    _, scored = chain_and_images()
    again = scored.first(PERIOD).repeated(COUNT)
    assert again.rows.tolist() == [place % PERIOD for place in range(COUNT)]
    assert again.labels.tolist() == [scored.labels[place % PERIOD] for place in range(COUNT)]


@pytest.mark.parametrize("scorer", ["exact", "reference"])
def test_a_long_prefix_does_not_leave_candidates_without_images(
    scorer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A convolution of 16,384 multiply-adds before a Dense layer whose candidates need 50."""
    model = keras.Sequential(
        [
            keras.Input((16, 16, 1), dtype="uint8"),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Conv2D(4, 4, padding="same", activation="relu", name="conv"),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(10, activation="relu", name="dense"),
            keras.layers.Dense(4, name="predictions"),
        ]
    )
    randomise(model)
    chain = read_chain(model)
    work = {h.name: work_of(chain, weights_of(chain), h) for h in chain.hidden}
    images, labels = images_and_labels((16, 16, 1), 500)
    (tmp_path / "config.yaml").write_text("name: a\ndata: {source: digits}\nmodel: {name: cnn}\n")
    config = load_config(tmp_path / "config.yaml", [f"importance.scorer={scorer}"])
    # Behind: two times 40 for the reader, 32 times 10 + 40 (reference: 40 + 40) for candidates.
    monkeypatch.setattr(speeds, "WORK_PER_LAYER", 2 * 16384 * 10)
    found = Speeds(config, chain, ScoringSet(images, np.arange(500), labels), work, Silent())
    conv = chain.find("conv")
    assert found.images(conv) == ((10, 195) if scorer == "exact" else (9, 9))
    layers = found.of([conv])
    assert layers["conv"][1] == found.images(conv)[1]
    speed = layers["conv"][0]
    assert (speed.prefix > 0) == (speed.base > 0) == (scorer == "exact")
    assert speed.ready > 0
