"""Wrong input ends with 2 and a sentence: what, where, what was found, expected, how to mend it."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from kvasir_prune import backend
from kvasir_prune.backend import installed
from kvasir_prune.errors import BackendError
from kvasir_prune.ledger import run_record
from kvasir_prune.ledger.hdf5_file import seal
from tests.cli_runs import (
    AFTER_TRAINING,
    RUN,
    Forbidden,
    Server,
    call,
    change_weights,
    copy_of,
    write_config,
)

FOLDER = {
    "name": "folder",
    "data": {"source": "image_folder", "root": "images"},
    "model": {"name": "ann", "input_side_px": 8},
    "training": {"max_epochs": 1},
    "runtime": {"threads": 1},
}


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Give two class folders of six JPEG files, and a configuration that names them."""
    write_config(tmp_path, {}, FOLDER)
    random = np.random.default_rng(5)
    for label in ("polyp", "ulcer"):
        folder = tmp_path / "images" / label
        folder.mkdir(parents=True)
        for number in range(6):
            pixels = random.integers(0, 256, (32, 40, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"{number}.jpg")
    return tmp_path / "images"


def test_the_images_are_good_before_they_are_spoilt(
    images: Path, tmp_path: Path, server: Server
) -> None:
    server.call("data", *RUN[1:], cwd=tmp_path).succeeded()
    with (tmp_path / "run" / "split.csv").open(newline="") as stream:
        lines = list(csv.DictReader(stream))
    assert [line["path"] for line in lines] == sorted(
        path.relative_to(images).as_posix() for path in images.glob("*/*.jpg")
    )
    for label in ("polyp", "ulcer"):
        assert {line["split"] for line in lines if line["class"] == label} == {
            *("train", "validation", "test")
        }


def test_a_missing_folder_is_told_in_full_before_keras_is_loaded(tmp_path: Path) -> None:
    write_config(tmp_path, {"data.root": "nowhere/images"}, FOLDER)
    done = Forbidden(tmp_path / "forbidden", "tensorflow", "keras").call(*RUN, cwd=tmp_path)
    sentence = done.refused(
        "There is no such file or folder of images.",
        "where: data.root",
        "found: nowhere/images",
        "expected: a folder of class folders",
        "to mend it: correct data.root",
    )
    assert "KVASIR_PRUNE_DATA" in sentence


@pytest.mark.parametrize(
    ("name", "hidden", "facts"),
    [
        ("tensorflwo", (), ("no such backend", "tensorflwo", "tensorflow, jax, torch")),
        ("torch", ("torch",), ("torch is not installed", "pip install torch")),
        ("jax", ("jax", "jaxlib"), ("jax is not installed", "pip install 'kvasir-prune[jax]'")),
    ],
)
def test_a_backend_that_is_not_there_is_told_before_anything_is_written(
    name: str, hidden: tuple[str, ...], facts: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    there = {k: v for k, v in installed.packages_distributions().items() if k not in hidden}
    monkeypatch.setattr(installed, "packages_distributions", lambda: there)
    monkeypatch.setenv("KERAS_BACKEND", name)
    with pytest.raises(BackendError) as caught:
        backend.versions()
    for fact in (*facts, "KERAS_BACKEND"):
        assert fact in str(caught.value)


def test_an_unknown_backend_is_a_sentence_and_leaves_no_run(tmp_path: Path) -> None:
    write_config(tmp_path, {})
    call(*RUN, cwd=tmp_path, KERAS_BACKEND="numpi").refused("no such backend", "numpi")
    assert not list((tmp_path / "run").glob("*.json"))


def test_one_class_is_refused(images: Path, tmp_path: Path, server: Server) -> None:
    shutil.rmtree(images / "ulcer")
    server.call(*RUN, cwd=tmp_path).refused(
        'There is one class only, "polyp"',
        "where: images",
        "expected: at least two class folders",
        "to mend it: point data.root at",
    )


def test_an_empty_class_is_refused(images: Path, tmp_path: Path, server: Server) -> None:
    (images / "empty").mkdir()
    server.call(*RUN, cwd=tmp_path).refused("A class has no images: empty", "expected", "to mend")


def test_a_class_too_small_to_divide_is_refused(
    images: Path, tmp_path: Path, server: Server
) -> None:
    for path in sorted((images / "ulcer").iterdir())[2:]:
        path.unlink()
    server.call(*RUN, cwd=tmp_path).refused(
        'The class "ulcer" has fewer images', "found: 2 images", "expected: at least 3", "to mend"
    )


def _truncate(images: Path) -> dict[str, str]:
    """Spoil four files in four ways; return name -> a word of the reason."""
    whole = (images / "polyp" / "0.jpg").read_bytes()
    spoilt = {
        "polyp/0.jpg": (whole[: len(whole) // 2], "truncated"),
        "polyp/3.jpg": (b"", "empty"),
        "ulcer/1.jpg": (b"a letter, not an image", "no image"),
        "ulcer/5.jpg": (whole[:-40], "truncated"),
    }
    for name, (content, _) in spoilt.items():
        (images / name).write_bytes(content)
    return {name: word for name, (_, word) in spoilt.items()}


def test_bad_images_are_all_listed_at_once(images: Path, tmp_path: Path, server: Server) -> None:
    spoilt = _truncate(images)
    sentence = server.call(*RUN, cwd=tmp_path).refused(
        "4 files are no whole image", "where: data.root", "to mend it: repair or delete them"
    )
    listed = [line.strip() for line in sentence.splitlines() if line.strip().startswith("- ")]
    assert [line.removeprefix("- ").split(":")[0] for line in listed] == sorted(spoilt)
    for line, name in zip(listed, sorted(spoilt), strict=True):
        assert spoilt[name] in line
    assert not (tmp_path / "run" / "split.csv").exists()


def test_mended_images_let_the_same_run_go_on(images: Path, tmp_path: Path, server: Server) -> None:
    for name in _truncate(images):
        good = images / name
        server.call("data", *RUN[1:], cwd=tmp_path).refused(name)
        shutil.copy2(images / "polyp" / "1.jpg", good)
    server.call("data", *RUN[1:], cwd=tmp_path).succeeded()
    assert len((tmp_path / "run" / "split.csv").read_text().splitlines()) == 1 + 12


def test_bad_images_can_be_left_out_on_record(images: Path, tmp_path: Path, server: Server) -> None:
    spoilt = _truncate(images)
    write_config(tmp_path, {"data.on_bad_image": "skip"}, FOLDER)
    server.call("data", *RUN[1:], cwd=tmp_path).succeeded()
    facts = json.loads((tmp_path / "run" / "data.json").read_text())
    assert [line.split(":")[0] for line in facts["skipped"]] == sorted(spoilt)
    assert facts["images"] == 12 - len(spoilt)


def test_images_of_different_sizes_are_refused_without_a_size(
    images: Path, tmp_path: Path, server: Server
) -> None:
    Image.new("RGB", (9, 9)).save(images / "ulcer" / "2.jpg")
    write_config(tmp_path, {"model.input_side_px": None}, FOLDER)
    server.call(*RUN, cwd=tmp_path).refused(
        "not all of one size", "ulcer/2.jpg", "found: 9x9", "expected: 40x32", "input_side_px"
    )


@pytest.mark.parametrize("section", ["pruning", "importance"])
def test_an_unknown_layer_is_refused_before_the_training(
    tmp_path: Path, server: Server, section: str
) -> None:
    write_config(tmp_path, {f"{section}.layers": ["dense1", "block5_conv3"]})
    server.call(*RUN, cwd=tmp_path).refused(
        'no prunable layer "block5_conv3"',
        "pruning.layers",
        "found: block5_conv3",
        "expected: dense1",
    )
    assert not (tmp_path / "run" / "training" / "checkpoint.h5").exists()
    assert not (tmp_path / "run" / "model.keras").exists()


def test_an_unknown_initializer_is_refused(tmp_path: Path, server: Server) -> None:
    write_config(tmp_path, {"model.initializer": "xavier"})
    server.call(*RUN, cwd=tmp_path).refused("xavier", "where: model", "model.initializer")


def test_a_diverged_training_names_its_epoch(tmp_path: Path, server: Server) -> None:
    write_config(tmp_path, {"training.optimizer": {"name": "sgd", "learning_rate": 1e30}})
    for _ in range(2):
        server.call(*RUN, cwd=tmp_path).refused(
            "The training has diverged",
            "where: epoch 1, batch ",
            "found: ",
            "to mend it: lower training.optimizer.learning_rate",
        )
    assert not (tmp_path / "run" / "model.keras").exists()


def test_a_network_of_nan_is_refused_by_importance_and_by_pruning(
    finished: Path, tmp_path: Path, server: Server
) -> None:
    run = copy_of(finished, tmp_path, *AFTER_TRAINING)
    change_weights(run / "model.keras", lambda values: values * np.float32("nan"))
    record = run_record.read(run / "run.json")
    assert record is not None
    del record["digests"]["weights"]
    run_record.write(run / "run.json", run_record.sealed(record, run / "model.keras"))
    words = (
        "A loss is not a finite number",
        "where: the whole network",
        "image 0 of the scoring set first, in batch 1 of 256 images",
        "found: nan",
        "to mend it",
    )
    server.call(*RUN, cwd=tmp_path).refused(*words)
    assert not (run / "importance.h5").exists()
    shutil.copy2(finished / "run" / "importance.h5", run)
    with h5py.File(run / "importance.h5", "r+") as file:
        digests = json.loads((run / "run.json").read_text())["digests"]
        file.attrs["identity.weights"] = digests["weights"]
    seal(run / "importance.h5")
    server.call(*RUN, cwd=tmp_path).refused(*words)
    assert not (run / "pruning.h5").exists()


def test_images_that_vanished_after_they_were_read_are_not_missed(
    images: Path, tmp_path: Path, server: Server
) -> None:
    server.call("train", *RUN[1:], cwd=tmp_path).succeeded()
    shutil.rmtree(images)
    server.call(*RUN, cwd=tmp_path).succeeded()
    shutil.rmtree(tmp_path / "run" / "cache")
    shutil.rmtree(tmp_path / "run" / "report")
    (tmp_path / "run" / "evaluation.h5").unlink()
    server.call(*RUN, cwd=tmp_path).refused("no such file or folder of images", "data.root")


def test_a_key_corrected_after_the_images_were_refused_is_welcome(
    images: Path, tmp_path: Path, server: Server
) -> None:
    """Nothing has been computed yet, so the same folder takes the corrected configuration."""
    spoilt = images / "polyp" / "3.jpg"
    spoilt.write_bytes(spoilt.read_bytes()[:300])
    data = ("data", *RUN[1:])
    server.call(*data, cwd=tmp_path).refused("polyp/3.jpg", "data.on_bad_image: skip")
    server.call(*data, "--set", "data.on_bad_image=skip", cwd=tmp_path).succeeded()
    server.call(*data, cwd=tmp_path).refused("data.on_bad_image")


def test_a_changed_size_after_a_refused_split_is_not_served_from_the_cache(
    images: Path, tmp_path: Path, server: Server
) -> None:
    for path in sorted((images / "ulcer").iterdir())[2:]:
        path.unlink()
    data = ("data", *RUN[1:])
    server.call(*data, cwd=tmp_path).refused("fewer images")
    shutil.copy(images / "ulcer" / "0.jpg", images / "ulcer" / "new.jpg")
    server.call(*data, "--set", "model.input_side_px=16", cwd=tmp_path).succeeded()
    assert np.load(tmp_path / "run" / "cache" / "images.npy").shape == (9, 16, 16, 3)


def test_a_path_that_cannot_be_is_a_sentence(images: Path, tmp_path: Path, server: Server) -> None:
    (tmp_path / "file").write_text("")
    data = ("data", *RUN[1:], "--set", f"data.cache_dir={tmp_path / 'file' / 'below'}")
    done = server.call(*data, cwd=tmp_path)
    assert done.code == 74
    for words in ("The file system refused", "Not a directory", "file", "to mend it"):
        assert words in done.err


def test_rendering_again_after_too_few_images_were_asked_for(
    tmp_path: Path, server: Server
) -> None:
    data = {"source": "synthetic_endoscopy", "images_per_class": 2, "render_side_px": 32}
    write_config(tmp_path, {}, {**FOLDER, "data": data})
    server.call("data", *RUN[1:], cwd=tmp_path).refused("fewer images")
    more = ("data", *RUN[1:], "--set", "data.images_per_class=4")
    server.call(*more, cwd=tmp_path).succeeded()
