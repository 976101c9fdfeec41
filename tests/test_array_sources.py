"""Sets that are arrays: digits, .npz files, sets found in the data folder, and failed downloads."""

import io
import os
import struct
import subprocess
import sys
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from kvasir_prune.config.data import Cifar10, DataConfig, Digits, FashionMnist, Mnist
from kvasir_prune.data import Dataset, prepare
from kvasir_prune.data.arrays import CIFAR10, CLOTHES, DIGITS, ArraySource, digits, from_npz
from kvasir_prune.data.open_source import open_source
from kvasir_prune.errors import DataError
from kvasir_prune.progress import Silent
from kvasir_prune.types import SPLITS, TEST, TRAIN

Array = np.ndarray[Any, Any]

# Counts of the published sets, class by class.
MNIST_TRAIN = (5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949)
MNIST_TEST = (980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009)

UNREACHABLE = "http://127.0.0.1:9"
DOWNLOAD = """
from kvasir_prune.data.arrays import DIGITS, from_keras
from kvasir_prune.errors import DataError

try:
    from_keras("mnist", DIGITS)
except DataError as error:
    print(error)
"""


@pytest.fixture(autouse=True)
def _no_data_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KVASIR_PRUNE_DATA", raising=False)


def arrays(train: int = 200, test: int = 30, shape: tuple[int, ...] = (6, 5)) -> dict[str, Array]:
    """Make a set whose images tell their part, number and label: pixel 0, 1 and 2."""
    rng = np.random.default_rng(0)
    made: dict[str, Array] = {}
    for part, (name, count) in enumerate({TRAIN: train, TEST: test}.items()):
        images = rng.integers(0, 256, (count, *shape), np.uint8)
        labels = np.arange(count, dtype=np.uint8) % 10
        for pixel, told in enumerate((np.full(count, part), np.arange(count), labels)):
            images[:, 0, pixel] = told.reshape(-1, *(1 for _ in shape[2:]))
        made |= {f"x_{name}": images, f"y_{name}": labels}
    return made


def npz(folder: Path, name: str, **content: Array) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(folder / name, **content)
    return folder / name


def prepared(config: DataConfig, run: Path) -> Dataset:
    run.mkdir(parents=True, exist_ok=True)
    return prepare(config, side_px=None, seed=0, run_folder=run, progress=Silent())


def pixels(source: ArraySource) -> dict[str, Array]:
    paths = [record.path for record in source.records]
    found = {image.path: image.pixels for image in source.images(paths)}
    return {path: content for path, content in found.items() if content is not None}


# scikit-learn's digits


def test_the_digits_are_those_of_scikit_learn_stretched_to_bytes() -> None:
    source, bundle = digits(), load_digits()
    images = pixels(source)
    assert len(source.records) == len(images) == 1797
    assert source.classes == tuple("0123456789")
    for record in source.records:
        number = int(record.path.split("/")[1])
        assert record.label == str(bundle.target[number])
        assert record.given is None
        image = images[record.path]
        assert (image.shape, image.dtype) == ((8, 8, 1), np.uint8)
        assert np.abs(image[..., 0] - bundle.images[number] * 255 / 16).max() <= 0.5
    everything = np.stack(list(images.values()))
    assert (everything.min(), everything.max()) == (0, 255)


def test_a_run_on_digits_needs_no_file(tmp_path: Path) -> None:
    dataset = prepared(Digits(source="digits"), tmp_path)
    assert dataset.image_shape == (8, 8, 1)
    assert dataset.classes == tuple("0123456789")
    sizes = Counter(load_digits().target.tolist())
    for name, share in zip(SPLITS, (0.70, 0.15, 0.15), strict=True):
        found = Counter(dataset.labels_of(name).tolist())
        assert all(abs(found[label] - share * size) < 1 for label, size in sizes.items())
    assert sum(len(rows) for rows in dataset.rows.values()) == 1797


# .npz files


@pytest.mark.parametrize("shape", [(6, 5), (6, 5, 1), (6, 5, 3)])
@pytest.mark.parametrize("label_shape", [(-1,), (-1, 1)])
def test_an_npz_gives_its_images_with_their_labels(
    tmp_path: Path, shape: tuple[int, ...], label_shape: tuple[int, ...]
) -> None:
    made = arrays(shape=shape)
    stored = {name: a.reshape(label_shape) if name[0] == "y" else a for name, a in made.items()}
    source = from_npz(npz(tmp_path, "set.npz", **stored), DIGITS)
    images = pixels(source)
    assert Counter(record.given for record in source.records) == {TRAIN: 200, TEST: 30}
    for record in source.records:
        part, number = record.path.split("/")
        assert part == record.given
        image = images[record.path]
        assert image.shape == (6, 5, shape[2] if len(shape) == 3 else 1)
        assert (
            image[..., 0] == made[f"x_{part}"].reshape(-1, *image.shape)[int(number), ..., 0]
        ).all()
        assert record.label == str(made[f"y_{part}"][int(number)])


def test_the_images_of_an_npz_keep_rows_labels_and_given_splits_together(tmp_path: Path) -> None:
    root = npz(tmp_path, "mine.npz", **arrays())
    dataset = prepared(Mnist(source="mnist", root=str(root)), tmp_path / "run")
    assert [len(dataset.rows[name]) for name in SPLITS] == [170, 30, 30]
    for name in SPLITS:
        images = dataset.images[dataset.rows[name]]
        assert (images[:, 0, 0, 0] == (name == TEST)).all()
        assert (images[:, 0, 2, 0] == dataset.labels_of(name)).all()
        counts = np.bincount(dataset.labels_of(name), minlength=10)
        assert counts.tolist() == [len(images) // 10] * 10


def test_labels_are_names_in_the_published_order() -> None:
    assert (CLOTHES[0], CLOTHES[5], CLOTHES[9]) == ("t-shirt", "sandal", "ankle-boot")
    assert (CIFAR10[0], CIFAR10[3], CIFAR10[9]) == ("airplane", "cat", "truck")
    assert len(set(CLOTHES)) == len(set(CIFAR10)) == len(DIGITS) == 10


def without(*names: str) -> dict[str, Array]:
    return {name: array for name, array in arrays().items() if name not in names}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (without("y_test"), ["Arrays are missing", "x_test, x_train, y_train", "y_test"]),
        (without("x_train", "x_test"), ["Arrays are missing", "y_test, y_train"]),
        ({"images": np.zeros((3, 4, 4), np.uint8)}, ["Arrays are missing"]),
        (arrays() | {"x_train": arrays()["x_train"] / 255}, ["x_train", "float64", "uint8"]),
        (arrays() | {"x_test": arrays()["x_test"].astype(np.int64)}, ["x_test", "int64"]),
        (arrays() | {"x_train": arrays()["x_train"].reshape(200, 30)}, ["x_train", "(200, 30)"]),
        (arrays() | {"x_train": np.zeros((200, 6, 5, 2), np.uint8)}, ["(200, 6, 5, 2)"]),
        (arrays() | {"x_train": np.uint8(3)}, ["x_train", "()"]),
        (arrays() | {"y_train": arrays()["y_train"][:199]}, ["(200, 6, 5)", "(199,)"]),
        (arrays() | {"y_test": np.eye(10, dtype=np.uint8)[arrays()["y_test"]]}, ["(300,)"]),
        (arrays() | {"y_test": arrays()["y_test"] + 1}, ["from 0 to 9"]),
        (arrays() | {"y_test": arrays()["y_test"].astype(int) - 1}, ["from 0 to 9"]),
        (arrays() | {"y_test": arrays()["y_test"] + 0.5}, ["float64 labels", "whole numbers"]),
        (arrays() | {"y_test": arrays()["y_test"].astype(str)}, ["y_test", "<U3 labels"]),
        (arrays(test=0), ["x_test", "(0, 6, 5)"]),
        (arrays() | {"y_test": np.array([None] * 30)}, ["cannot be read as .npz"]),
    ],
)
def test_an_npz_that_does_not_hold_labelled_images_is_refused(
    tmp_path: Path, content: dict[str, Array], words: list[str]
) -> None:
    path = npz(tmp_path, "set.npz", **content)
    with pytest.raises(DataError) as caught:
        from_npz(path, DIGITS)
    assert caught.value.where == path
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_images_of_two_sizes_are_refused(tmp_path: Path) -> None:
    root = npz(tmp_path, "set.npz", **arrays() | {"x_test": np.zeros((30, 7, 5), np.uint8)})
    with pytest.raises(DataError, match="not all of one size"):
        prepared(Mnist(source="mnist", root=str(root)), tmp_path / "run")


def garbled(place: int) -> Callable[[bytes], bytes]:
    """Change a byte of the first array as it is stored; the archive's directory stays whole."""

    def change(content: bytes) -> bytes:
        name, extra = struct.unpack("<HH", content[26:30])
        start = 30 + name + extra + place
        return content[:start] + b"\xff" + content[start + 1 :]

    return change


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[: len(content) // 2],
        lambda content: content[:-10],
        garbled(0),
        garbled(500),
        lambda content: b"",
        lambda content: b"<html>404</html>",
        lambda content: (
            b"\x93NUMPY\x01\x00v\x00{'descr': '|u1', 'fortran_order': False, "
            b"'shape': (1,), }" + b" " * 59 + b"\n\x00"
        ),
    ],
    ids=["half", "end cut off", "no block", "other pixels", "empty", "a web page", "one array"],
)
def test_a_damaged_npz_is_refused(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    path = npz(tmp_path, "mnist.npz", **arrays())
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError, match=r"cannot be read as \.npz") as caught:
        prepared(Mnist(source="mnist", root=str(path)), tmp_path / "run")
    assert caught.value.where == path


def test_a_root_that_does_not_exist_is_named(tmp_path: Path) -> None:
    for name in ("absent.npz", "absent"):
        with pytest.raises(DataError) as caught:
            prepared(Mnist(source="mnist", root=str(tmp_path / name)), tmp_path / "run")
        assert name in str(caught.value)


# The data folder


@pytest.mark.parametrize(
    ("config", "name", "classes"),
    [
        (Mnist(source="mnist"), "mnist.npz", DIGITS),
        (FashionMnist(source="fashion_mnist"), "fashion_mnist.npz", CLOTHES),
        (Cifar10(source="cifar10"), "cifar10.npz", CIFAR10),
    ],
)
def test_an_npz_is_found_in_the_data_folder(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    config: DataConfig,
    name: str,
    classes: tuple[str, ...],
) -> None:
    made = arrays()
    npz(tmp_path / "data", name, **made)
    monkeypatch.setenv("KVASIR_PRUNE_DATA", str(tmp_path / "data"))
    dataset = prepared(config, tmp_path / "run")
    assert set(dataset.classes) == set(classes)
    labels = dataset.images[dataset.rows[TRAIN]][:, 0, 2, 0]
    assert [dataset.classes[label] for label in dataset.labels_of(TRAIN)] == [
        classes[label] for label in labels
    ]


def test_a_root_that_is_a_folder_is_searched_for_the_set(tmp_path: Path) -> None:
    npz(tmp_path / "data", "mnist.npz", **arrays())
    dataset = prepared(Mnist(source="mnist", root=str(tmp_path / "data")), tmp_path / "run")
    assert [len(dataset.rows[name]) for name in SPLITS] == [170, 30, 30]


def class_folders(path: Path, train: int, test: int) -> Path:
    """Write a zip of colour images under train/CLASS and test/CLASS, as CIFAR-10 is handed on."""
    with zipfile.ZipFile(path, "w") as archive:
        for part, count in ((TRAIN, train), (TEST, test)):
            for label, name in enumerate(CIFAR10):
                for number in range(count):
                    stream = io.BytesIO()
                    colour = (label * 20, 200 - number, 99 if part == TEST else 0)
                    Image.new("RGB", (8, 8), colour).save(stream, "PNG")
                    archive.writestr(f"cifar10/{part}/{name}/{number:04d}.png", stream.getvalue())
    return path


def test_cifar10_as_a_zip_of_class_folders_is_found_in_the_data_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class_folders(tmp_path / "cifar10.zip", train=20, test=4)
    monkeypatch.setenv("KVASIR_PRUNE_DATA", str(tmp_path))
    dataset = prepared(Cifar10(source="cifar10"), tmp_path / "run")
    assert dataset.classes == tuple(sorted(CIFAR10))
    assert dataset.image_shape == (8, 8, 3)
    assert [len(dataset.rows[name]) for name in SPLITS] == [170, 30, 40]
    for name in SPLITS:
        corner = dataset.images[dataset.rows[name]][:, 0, 0]
        assert (corner[:, 2] == (99 if name == TEST else 0)).all()
        names = [CIFAR10[red // 20] for red in corner[:, 0]]
        assert names == [dataset.classes[label] for label in dataset.labels_of(name)]


def test_without_the_file_and_the_network_the_wanted_file_is_named(tmp_path: Path) -> None:
    proxies = {f"{scheme}_proxy": UNREACHABLE for scheme in ("http", "https", "all")}
    environment = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    environment |= proxies | {name.upper(): value for name, value in proxies.items()}
    environment["KERAS_HOME"] = str(tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", DOWNLOAD],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "The data set mnist cannot be downloaded." in done.stdout
    assert "mnist.npz" in done.stdout
    assert "x_train, y_train, x_test, y_test" in done.stdout
    assert "KVASIR_PRUNE_DATA" in done.stdout
    assert "data.root" in done.stdout


# The real sets


def test_the_real_mnist(tmp_path: Path, real_data: Callable[[str], Path]) -> None:
    config = Mnist(source="mnist", root=str(real_data("mnist.npz")))
    source = open_source(config, tmp_path, Silent())
    found = Counter((record.given, record.label) for record in source.records)
    assert tuple(found[TRAIN, label] for label in DIGITS) == MNIST_TRAIN
    assert tuple(found[TEST, label] for label in DIGITS) == MNIST_TEST
    (first,) = source.images(["train/00000"])
    assert first.pixels is not None
    assert first.pixels.shape == (28, 28, 1)


@pytest.mark.parametrize(
    ("config", "name", "shape"),
    [
        (
            FashionMnist(source="fashion_mnist", limit_per_class=20),
            "fashion_mnist.npz",
            (28, 28, 1),
        ),
        (Cifar10(source="cifar10", limit_per_class=20), "cifar10.zip", (32, 32, 3)),
    ],
)
def test_the_other_real_sets(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    real_data: Callable[[str], Path],
    config: DataConfig,
    name: str,
    shape: tuple[int, int, int],
) -> None:
    monkeypatch.setenv("KVASIR_PRUNE_DATA", str(real_data(name).parent))
    everything = Counter(record.given for record in open_source(config, tmp_path, Silent()).records)
    assert everything == {TRAIN: 60_000 if shape[0] == 28 else 50_000, TEST: 10_000}
    dataset = prepared(config, tmp_path)
    assert dataset.image_shape == shape
    assert [len(dataset.rows[name]) for name in SPLITS] == [170, 30, 200]
