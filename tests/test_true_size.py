"""configs/kvasir_vgg16.yaml at its true size: 224x224, eight classes, 134 million parameters."""

from __future__ import annotations

import resource
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest

from kvasir_prune.config import load_config
from kvasir_prune.data.dataset import Dataset
from kvasir_prune.evaluation.cost import cost_of
from kvasir_prune.importance.reference import ReferenceScorer
from kvasir_prune.importance.scoring_set import ScoringSet
from kvasir_prune.models import build, read_chain
from kvasir_prune.progress import Silent
from kvasir_prune.training.fit import train

CONFIG = Path(__file__).resolve().parent.parent / "configs" / "kvasir_vgg16.yaml"


@pytest.mark.slow
def test_one_training_step_and_ten_evaluations(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    config = load_config(CONFIG, ["training.max_epochs=1", "training.batch_size=8"])
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (16, 224, 224, 3), dtype=np.uint8)
    labels = np.arange(16, dtype=np.int64) % 8
    rows = {"train": np.arange(8), "validation": np.arange(8, 16), "test": np.arange(8, 16)}
    dataset = Dataset(images, labels, tuple("abcdefgh"), rows, "")
    model = build(config.model, dataset.image_shape, 8, seed=config.seed)
    # 138,357,544 of the ImageNet network, its last layer 4096 -> 8 instead of 4096 -> 1000.
    assert cost_of(model).parameters == 138_357_544 - 4097 * 1000 + 4097 * 8

    before = model.get_layer("block1_conv1").get_weights()[0]
    *_, history = train(model, dataset, config.training, tmp_path, seed=0, progress=Silent())
    assert len(history) == 1
    assert np.isfinite(history[0].train_loss)
    assert not np.array_equal(before, model.get_layer("block1_conv1").get_weights()[0])

    scored = ScoringSet(images, rows["validation"], labels[8:])
    scorer = ReferenceScorer(read_chain(model), scored, batch_size=8, memory_budget_gib=4.0)
    scores = scorer.score("fc2", {}, range(5)) + scorer.score(
        "block5_conv3", {"fc2": (0,)}, range(5)
    )
    assert len(scores) == 10
    logits = keras.Model(model.inputs, model.get_layer("predictions").output)
    logits.compile(loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    literal = logits.evaluate(images[8:], labels[8:], verbose=0)
    assert scorer.evaluate({}).loss == pytest.approx(literal, rel=1e-5)

    peak_gib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    record_property("VGG-16 at its true size, peak memory in GiB", round(peak_gib, 1))
