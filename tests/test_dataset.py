"""From files to a `Dataset`: any storage, bad images, the cache through crashes, manifests."""

import csv
import hashlib
import io
import json
import shutil
import signal
import subprocess
import sys
import tarfile
import tracemalloc
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import PIL
import pytest
from PIL import Image

from kvasir_prune.config.data import Fractions, ImageFolder, SyntheticEndoscopy
from kvasir_prune.data import Dataset, prepare
from kvasir_prune.errors import DataError, RunFolderError
from kvasir_prune.progress import Silent, Task
from kvasir_prune.types import SPLITS, TEST

CLASSES = ("cecum", "polyps", "z-line")
PER_CLASS = 8
Files = dict[str, bytes]

# It kills itself at a chosen moment: SIGKILL leaves no chance to tidy up.
KILLED_RUN = """
import os, signal, sys
from contextlib import contextmanager
from pathlib import Path
from kvasir_prune.config.data import ImageFolder
from kvasir_prune.data import cache, prepare

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

class Killer:
    images = 0
    @contextmanager
    def task(self, description, total):
        yield self
    def advance(self, steps=1, **facts):
        self.images += 1
        if moment == "reading" and self.images == 10:
            die()
    def note(self, sentence):
        if moment == "dividing" and sentence.startswith("Split"):
            die()

moment, root, run = sys.argv[1:]
if moment == "publishing":
    cache.publish_text = die
config = ImageFolder(source="image_folder", root=root)
prepare(config, side_px=4, seed=0, run_folder=Path(run), progress=Killer())
"""

# It says when it has found the images and is about to look at the cache.
SECOND_RUN = """
import sys
from pathlib import Path
from kvasir_prune.config.data import ImageFolder
from kvasir_prune.data import prepare
from kvasir_prune.progress import Silent

class Talking(Silent):
    def note(self, sentence):
        print(sentence, flush=True)

root, cache, run = sys.argv[1:]
config = ImageFolder(source="image_folder", root=root, cache_dir=cache)
prepare(config, side_px=4, seed=0, run_folder=Path(run), progress=Talking())
"""


class Listener(Silent):
    """Remembers what was announced; `at_image` is called at every image that was read."""

    def __init__(self, at_image: Callable[[int], None] = lambda number: None) -> None:
        self.notes: list[str] = []
        self.tasks: list[str] = []
        self.images = 0
        self._at_image = at_image

    @contextmanager
    def task(self, description: str, total: float | None) -> Iterator[Task]:
        self.tasks.append(description)
        yield self

    def advance(self, steps: float = 1, **facts: object) -> None:
        self.images += 1
        self._at_image(self.images)

    def note(self, sentence: str) -> None:
        self.notes.append(sentence)


@pytest.fixture(autouse=True)
def _no_data_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KVASIR_PRUNE_DATA", raising=False)


def png(pixels: np.ndarray[Any, Any]) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def colour_of(number: int) -> tuple[int, int, int]:
    return (number * 5 % 256, number * 11 % 256, number * 17 % 256)


def one_colour(number: int, width: int = 12, height: int = 10) -> bytes:
    return png(np.full((height, width, 3), colour_of(number), np.uint8))


def image_set(classes: Sequence[str] = CLASSES, per_class: int = PER_CLASS) -> Files:
    """Make a set whose every image has a colour of its own: path -> content."""
    paths = [f"{label}/{number:03d}.png" for label in classes for number in range(per_class)]
    return {path: one_colour(number) for number, path in enumerate(paths)}


COLOURS = {path: colour_of(number) for number, path in enumerate(image_set())}


def as_folder(files: Files, location: Path) -> Path:
    for name, content in files.items():
        (location / name).parent.mkdir(parents=True, exist_ok=True)
        (location / name).write_bytes(content)
    return location


def as_zip(files: Files, location: Path) -> Path:
    with zipfile.ZipFile(location, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return location


def as_tar(files: Files, location: Path) -> Path:
    mode: Any = "w:gz" if location.name.endswith("gz") else "w"
    with tarfile.open(location, mode) as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return location


def prepared(
    root: Path | str,
    run: Path,
    *,
    side_px: int | None = None,
    seed: int = 0,
    progress: Silent | None = None,
    **keys: Any,
) -> Dataset:
    run.mkdir(parents=True, exist_ok=True)
    config = ImageFolder(source="image_folder", root=str(root), **keys)
    progress = progress or Silent()
    return prepare(config, side_px=side_px, seed=seed, run_folder=run, progress=progress)


def split_rows(run: Path) -> list[dict[str, str]]:
    with (run / "split.csv").open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def facts(run: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((run / "data.json").read_text(encoding="utf-8"))
    return content


def row_of(dataset: Dataset, run: Path) -> dict[str, int]:
    """Return path -> row; rows of a split are in the order of its lines in split.csv."""
    found = {}
    for name in SPLITS:
        paths = [row["path"] for row in split_rows(run) if row["split"] == name]
        found.update(dict(zip(paths, dataset.rows[name].tolist(), strict=True)))
    return found


# Images, labels, rows


def test_pixels_labels_and_splits_belong_together(tmp_path: Path) -> None:
    root = as_folder(image_set(), tmp_path / "set")
    dataset = prepared(root, tmp_path / "run")
    assert dataset.classes == CLASSES
    assert dataset.image_shape == (10, 12, 3)
    assert {name: len(rows) for name, rows in dataset.rows.items()} == dict(
        zip(SPLITS, (18, 3, 3), strict=True)
    )
    rows = row_of(dataset, tmp_path / "run")
    assert set(rows) == set(COLOURS)
    for path, row in rows.items():
        assert (dataset.images[row] == COLOURS[path]).all(), path
        assert dataset.classes[dataset.labels[row]] == path.split("/")[0]
    for name in SPLITS:
        assert np.array_equal(dataset.labels_of(name), dataset.labels[dataset.rows[name]])


def test_the_split_file_tells_names_contents_classes_and_splits(tmp_path: Path) -> None:
    files = image_set()
    dataset = prepared(as_folder(files, tmp_path / "set"), tmp_path / "run")
    rows = split_rows(tmp_path / "run")
    assert list(rows[0]) == ["path", "sha256", "class", "group", "split"]
    assert [row["path"] for row in rows] == sorted(files)
    assert all(row["sha256"] == hashlib.sha256(files[row["path"]]).hexdigest() for row in rows)
    assert all(row["class"] == row["path"].split("/")[0] for row in rows)
    content = (tmp_path / "run" / "split.csv").read_bytes()
    assert dataset.digest == hashlib.sha256(content).hexdigest()
    assert b"\r" not in content


def test_one_other_pixel_is_another_set(tmp_path: Path) -> None:
    files = image_set()
    before = prepared(as_folder(files, tmp_path / "set"), tmp_path / "run")
    files["cecum/000.png"] = one_colour(200)
    after = prepared(as_folder(files, tmp_path / "other"), tmp_path / "other run")
    assert before.digest != after.digest


def wrapped(files: Files, prefix: str) -> Files:
    return {f"{prefix}{name}": content for name, content in files.items()}


STORAGES: dict[str, Callable[[Files, Path], Path]] = {
    "folder": lambda files, place: as_folder(files, place / "set"),
    "folder, made in another order": lambda files, place: as_folder(
        dict(reversed(files.items())), place / "set"
    ),
    "zip": lambda files, place: as_zip(files, place / "set.zip"),
    "zip in another order": lambda files, place: as_zip(
        dict(reversed(files.items())), place / "set.zip"
    ),
    "zip with a folder around": lambda files, place: as_zip(
        wrapped(files, "set/"), place / "set.zip"
    ),
    "tar.gz": lambda files, place: as_tar(files, place / "set.tar.gz"),
    "tgz as tar makes it": lambda files, place: as_tar(wrapped(files, "./set/"), place / "s.tgz"),
    "tar": lambda files, place: as_tar(dict(reversed(files.items())), place / "set.tar"),
}


@pytest.fixture(scope="module")
def from_folder(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, np.ndarray[Any, Any]]:
    """What the set gives as a folder: its split file, and its pixels resized."""
    place = tmp_path_factory.mktemp("folder")
    dataset = prepared(as_folder(image_set(), place / "set"), place / "run", side_px=4)
    return (place / "run" / "split.csv").read_bytes(), np.array(dataset.images)


@pytest.mark.parametrize("storage", STORAGES)
def test_a_set_is_the_same_however_it_is_stored(
    tmp_path: Path, from_folder: tuple[bytes, np.ndarray[Any, Any]], storage: str
) -> None:
    location = STORAGES[storage](image_set(), tmp_path)
    dataset = prepared(location, tmp_path / "run", side_px=4)
    expected_split, expected_pixels = from_folder
    assert (tmp_path / "run" / "split.csv").read_bytes() == expected_split
    assert np.array_equal(dataset.images, expected_pixels)


def test_the_seed_is_the_seed_of_the_split(tmp_path: Path) -> None:
    root = as_folder(image_set(), tmp_path / "set")
    first, other = prepared(root, tmp_path / "a", seed=1), prepared(root, tmp_path / "b", seed=2)
    assert first.digest != other.digest
    assert [len(first.rows[name]) for name in SPLITS] == [len(other.rows[name]) for name in SPLITS]


def test_given_test_images_are_the_test_split(tmp_path: Path) -> None:
    files = wrapped(image_set(per_class=20), "train/") | wrapped(image_set(per_class=5), "test/")
    dataset = prepared(as_folder(files, tmp_path / "set"), tmp_path / "run")
    assert [len(dataset.rows[name]) for name in SPLITS] == [51, 9, 15]
    of_test = {row["path"] for row in split_rows(tmp_path / "run") if row["split"] == TEST}
    assert of_test == {name for name in files if name.startswith("test/")}


def test_other_fractions(tmp_path: Path) -> None:
    root = as_folder(image_set(per_class=10), tmp_path / "set")
    shares = Fractions(train=0.5, validation=0.3, test=0.2)
    dataset = prepared(root, tmp_path / "run", fractions=shares)
    assert [len(dataset.rows[name]) for name in SPLITS] == [15, 9, 6]


@pytest.mark.parametrize("storage", ["folder", "zip in another order"])
def test_a_limit_takes_the_same_images_of_each_class_and_given_split(
    tmp_path: Path, storage: str
) -> None:
    files = wrapped(image_set(per_class=9), "train/") | wrapped(image_set(per_class=6), "test/")
    location = STORAGES[storage](files, tmp_path)
    prepared(location, tmp_path / "run", limit_per_class=4)
    rows = split_rows(tmp_path / "run")
    assert Counter(row["path"].rsplit("/", 1)[0] for row in rows) == {
        f"{part}/{label}": 4 for part in ("train", "test") for label in CLASSES
    }
    prepared(as_folder(files, tmp_path / "again"), tmp_path / "again run", limit_per_class=4)
    assert split_rows(tmp_path / "again run") == rows


def test_the_seed_decides_whom_a_limit_takes(tmp_path: Path) -> None:
    root = as_folder(image_set(per_class=20), tmp_path / "set")
    taken = []
    for seed in (1, 2):
        prepared(root, tmp_path / str(seed), seed=seed, limit_per_class=5)
        taken.append({row["path"] for row in split_rows(tmp_path / str(seed))})
    assert taken[0] != taken[1]
    assert len(taken[0]) == len(taken[1]) == 15


def test_what_was_done_to_the_images_is_recorded(tmp_path: Path) -> None:
    files = image_set()
    files["cecum/000.png"] = png(np.full((10, 12), 77, np.uint8))
    files["cecum/001.png"] = png(np.full((10, 12, 4), 77, np.uint8))
    files |= {"cecum/notes.txt": b"x", ".DS_Store": b"x"}
    listener = Listener()
    root = as_folder(files, tmp_path / "set")
    dataset = prepared(root, tmp_path / "run", side_px=4, progress=listener)
    assert facts(tmp_path / "run") == {
        "source": "image_folder",
        "images": 24,
        "image_side_px": [4, 4],
        "groups": None,
        "conversions": {"alpha dropped": 1, "grey to RGB": 1},
        "skipped": [],
        # Eight images are 6 : 1 : 1 at best.
        "split_deviation_percent": {label: pytest.approx([5.0, -2.5, -2.5]) for label in CLASSES},
        "blanked": [],
    }
    row = row_of(dataset, tmp_path / "run")["cecum/000.png"]
    assert dataset.sizes is not None
    assert dataset.sizes[row].tolist() == [10, 12]
    assert (dataset.images[row] == 77).all()
    assert listener.images == 24
    left_out, deviations = listener.notes
    assert "(2)" in left_out
    assert ".DS_Store" in left_out
    assert "cecum/notes.txt" in left_out
    assert "cecum: train +5.00, validation -2.50, test -2.50" in deviations


def test_rendered_images_leave_nothing_beside_them(tmp_path: Path) -> None:
    listener = Listener()
    config = SyntheticEndoscopy(source="synthetic_endoscopy", images_per_class=3, render_side_px=16)
    dataset = prepare(config, side_px=8, seed=0, run_folder=tmp_path, progress=listener)
    assert dataset.images.shape == (24, 8, 8, 3)
    assert not [note for note in listener.notes if "Left out" in note]


# Sizes


def test_images_of_several_sizes_need_a_side(tmp_path: Path) -> None:
    files = image_set() | {"polyps/003.png": one_colour(3, width=9, height=7)}
    root = as_folder(files, tmp_path / "set")
    with pytest.raises(DataError, match="not all of one size") as caught:
        prepared(root, tmp_path / "run")
    assert "model.input_side_px" in str(caught.value)
    assert not (tmp_path / "run" / "split.csv").exists()
    assert prepared(root, tmp_path / "run", side_px=6).image_shape == (6, 6, 3)


# Bad images


def bad_images() -> Files:
    whole = png(np.random.default_rng(0).integers(0, 256, (30, 30, 3), np.uint8))
    return {
        "cecum/001.png": whole[: len(whole) // 2],
        "cecum/notes.jpg": b"a text under the name of an image",
        "polyps/002.png": b"",
        "z-line/broken.jpg": b"\xff\xd8\xff\xe0",
    }


@pytest.mark.parametrize("storage", ["folder", "zip", "tar.gz"])
def test_all_bad_images_are_listed_at_once(tmp_path: Path, storage: str) -> None:
    location = STORAGES[storage](image_set() | bad_images(), tmp_path)
    with pytest.raises(DataError, match="4 files are no whole image") as caught:
        prepared(location, tmp_path / "run")
    assert all(f"- {name}: " in str(caught.value) for name in bad_images())
    assert "on_bad_image: skip" in str(caught.value)
    assert {path.name for path in (tmp_path / "run").rglob("*")} <= {"cache", ".lock"}


def test_bad_images_are_skipped_and_recorded_on_request(tmp_path: Path) -> None:
    files = image_set() | bad_images()
    root = as_folder(files, tmp_path / "set")
    dataset = prepared(root, tmp_path / "run", on_bad_image="skip")
    rows = split_rows(tmp_path / "run")
    assert {row["path"] for row in rows} == set(files) - set(bad_images())
    used = np.concatenate([dataset.rows[name] for name in SPLITS])
    assert len(used) == len(set(used)) == len(rows) == 22
    assert (dataset.labels[used] >= 0).all()
    assert np.count_nonzero(dataset.labels == -1) == 4
    assert set(dataset.rows) == set(SPLITS)
    assert [line.split(": ")[0] for line in facts(tmp_path / "run")["skipped"]] == sorted(
        bad_images()
    )
    assert facts(tmp_path / "run")["images"] == 22
    for path, row in row_of(dataset, tmp_path / "run").items():
        assert (dataset.images[row] == COLOURS[path]).all(), path


def test_a_class_does_not_vanish_with_its_bad_images(tmp_path: Path) -> None:
    files = image_set() | {name: b"bad" for name in image_set() if name.startswith("polyps/")}
    with pytest.raises(DataError, match="Not one image can be decoded of: polyps"):
        prepared(as_folder(files, tmp_path / "set"), tmp_path / "run", on_bad_image="skip")


# The cache


def test_the_images_are_a_memory_map_for_reading(tmp_path: Path) -> None:
    root = as_folder(image_set(), tmp_path / "set")
    for dataset in (prepared(root, tmp_path / "run"), prepared(root, tmp_path / "run")):
        assert isinstance(dataset.images, np.memmap)
        assert not dataset.images.flags.writeable
        with pytest.raises(ValueError, match="read-only"):
            dataset.images[0] = 0


def test_the_images_never_stand_in_memory_together(tmp_path: Path) -> None:
    root = as_folder(image_set(per_class=40), tmp_path / "set")
    prepared(root, tmp_path / "first", side_px=4)
    tracemalloc.start()
    try:
        dataset = prepared(root, tmp_path / "run", side_px=192)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert dataset.images.nbytes == 120 * 192 * 192 * 3
    assert peak < dataset.images.nbytes / 4


def test_a_folder_that_vanishes_while_it_is_read_is_told_and_may_come_back(
    tmp_path: Path,
) -> None:
    root, away = as_folder(image_set(), tmp_path / "images"), tmp_path / "away"
    run = tmp_path / "run"

    def take_away(number: int) -> None:
        if number == 10:
            root.rename(away)

    with pytest.raises(DataError, match="has vanished") as caught:
        prepared(root, run, progress=Listener(take_away))
    assert "is its disk still mounted" in str(caught.value)
    assert not (run / "split.csv").exists()
    away.rename(root)
    after = prepared(root, run)
    undisturbed = prepared(root, tmp_path / "other")
    assert (after.digest, after.pixels) == (undisturbed.digest, undisturbed.pixels)


def test_a_complete_cache_needs_no_images(tmp_path: Path) -> None:
    root = as_folder(image_set(), tmp_path / "set")
    before = prepared(root, tmp_path / "run")
    shutil.rmtree(root)
    listener = Listener()
    after = prepared(root, tmp_path / "run", progress=listener)
    assert after.digest == before.digest
    assert np.array_equal(after.images, before.images)
    assert all(np.array_equal(after.rows[name], before.rows[name]) for name in SPLITS)
    assert (listener.tasks, listener.notes) == ([], [])


@pytest.mark.parametrize("moment", ["reading", "publishing", "dividing"])
def test_a_run_killed_at_any_moment_goes_on(
    tmp_path: Path, from_folder: tuple[bytes, np.ndarray[Any, Any]], moment: str
) -> None:
    root, run = as_folder(image_set(), tmp_path / "set"), tmp_path / "run"
    run.mkdir()
    killed = subprocess.run([sys.executable, "-c", KILLED_RUN, moment, root, run], check=False)
    assert killed.returncode == -signal.SIGKILL
    left = {path.name for path in (run / "cache").iterdir()}
    assert ("images.npy" in left) == (moment != "reading")
    assert ("images.csv" in left) == (moment == "dividing")
    assert any(".partial" in name for name in left) == (moment == "reading")
    assert not (run / "split.csv").exists()
    listener = Listener()
    dataset = prepared(root, run, side_px=4, progress=listener)
    assert listener.tasks == ([] if moment == "dividing" else ["Reading images"])
    expected_split, expected_pixels = from_folder
    assert (run / "split.csv").read_bytes() == expected_split
    assert np.array_equal(dataset.images, expected_pixels)
    assert not list(run.rglob("*.partial*"))


@pytest.mark.parametrize("name", ["images.npy", "images.csv"])
def test_a_cache_without_one_of_its_files_is_built_again(tmp_path: Path, name: str) -> None:
    root = as_folder(image_set(), tmp_path / "set")
    before = np.array(prepared(root, tmp_path / "run").images)
    (tmp_path / "run" / "cache" / name).unlink()
    assert np.array_equal(prepared(root, tmp_path / "run").images, before)


def test_an_array_cut_short_is_built_again(tmp_path: Path) -> None:
    root = as_folder(image_set(), tmp_path / "set")
    before = np.array(prepared(root, tmp_path / "run").images)
    array = tmp_path / "run" / "cache" / "images.npy"
    array.write_bytes(array.read_bytes()[:-100])
    assert np.array_equal(prepared(root, tmp_path / "run").images, before)


def test_a_table_of_an_older_version_is_read_without_its_sizes(tmp_path: Path) -> None:
    root, run = as_folder(image_set(), tmp_path / "set"), tmp_path / "run"
    before = prepared(root, run)
    table, sums = run / "cache" / "images.csv", run / "cache" / "SHA256SUMS"
    digest = hashlib.sha256(table.read_bytes()).hexdigest()
    older = [line[:-2] for line in csv.reader(io.StringIO(table.read_text()))]
    table.write_text("".join(",".join(line) + "\n" for line in older))
    renewed = hashlib.sha256(table.read_bytes()).hexdigest()
    sums.write_text(sums.read_text().replace(digest, renewed))
    shutil.rmtree(root)
    after = prepared(root, run)
    assert after.digest == before.digest
    assert after.sizes is not None
    assert (after.sizes == -1).all()


def test_two_runs_share_one_cache(tmp_path: Path) -> None:
    root, shared = as_folder(image_set(), tmp_path / "set"), str(tmp_path / "shared")
    first = prepared(root, tmp_path / "a", side_px=4, cache_dir=shared)
    listener = Listener()
    second = prepared(root, tmp_path / "b", side_px=4, cache_dir=shared, progress=listener, seed=1)
    assert listener.tasks == []
    assert np.array_equal(first.images, second.images)
    assert first.digest != second.digest
    assert len(list(Path(shared).iterdir())) == 1
    assert (tmp_path / "a" / "cache").resolve() == (tmp_path / "b" / "cache").resolve()


def test_another_decoder_or_other_images_or_another_side_are_another_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, shared = as_folder(image_set(), tmp_path / "set"), str(tmp_path / "shared")
    for number, changes in enumerate(({"side_px": 4}, {"side_px": 5}, {"limit_per_class": 4})):
        prepared(root, tmp_path / f"run{number}", cache_dir=shared, **changes)
    blanked = prepared(
        root, tmp_path / "blanked", side_px=4, cache_dir=shared, blank=[[0, 0.5, 1, 1]]
    )
    row = row_of(blanked, tmp_path / "blanked")["polyps/000.png"]
    assert blanked.images[row].any(axis=(1, 2)).tolist() == [True, True, False, False]
    as_folder({"polyps/000.png": one_colour(99)}, root)
    changed = prepared(root, tmp_path / "changed", side_px=4, cache_dir=shared)
    assert len(list(Path(shared).iterdir())) == 5
    row = row_of(changed, tmp_path / "changed")["polyps/000.png"]
    assert (changed.images[row] == colour_of(99)).all()
    for module in (cv2, PIL):
        monkeypatch.setattr(module, "__version__", "another")
        prepared(root, tmp_path / module.__name__, side_px=4, cache_dir=shared)
    assert len(list(Path(shared).iterdir())) == 7


def test_a_shared_cache_needs_no_images_once_it_is_complete(tmp_path: Path) -> None:
    root, shared = as_folder(image_set(), tmp_path / "set"), str(tmp_path / "shared")
    before = prepared(root, tmp_path / "run", cache_dir=shared)
    shutil.rmtree(root)
    after = prepared(root, tmp_path / "run", cache_dir=shared)
    assert after.digest == before.digest
    assert np.array_equal(after.images, before.images)


@pytest.mark.parametrize("keys", [{}, {"cache_dir": "shared"}])
def test_a_shared_cache_that_was_deleted_is_built_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keys: dict[str, str]
) -> None:
    monkeypatch.chdir(tmp_path)
    root = as_folder(image_set(), tmp_path / "set")
    before = prepared(root, tmp_path / "run", cache_dir="shared")
    pixels = np.array(before.images)
    shutil.rmtree(tmp_path / "shared")
    after = prepared(root, tmp_path / "run", **keys)
    assert after.digest == before.digest
    assert np.array_equal(after.images, pixels)


def test_a_cache_of_a_run_that_skips_does_not_make_another_run_skip(tmp_path: Path) -> None:
    root = as_folder(image_set() | bad_images(), tmp_path / "set")
    shared = str(tmp_path / "shared")
    prepared(root, tmp_path / "a", cache_dir=shared, on_bad_image="skip")
    with pytest.raises(DataError, match="4 files are no whole image"):
        prepared(root, tmp_path / "b", cache_dir=shared)


def test_two_runs_may_build_the_shared_cache_at_the_same_time(tmp_path: Path) -> None:
    root = as_folder(image_set() | {"junk.txt": b"x"}, tmp_path / "set")
    shared, run = str(tmp_path / "shared"), tmp_path / "second"
    run.mkdir()
    second: list[subprocess.Popen[str]] = []

    def start_second(images: int) -> None:
        if images == 5:
            command = [sys.executable, "-c", SECOND_RUN, root, shared, run]
            second.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
            stream = second[0].stdout
            assert stream is not None
            assert stream.readline().startswith("Left out")
            # It has to wait now; without a lock this is time enough to do harm.
            with suppress(subprocess.TimeoutExpired):
                second[0].wait(0.5)

    try:
        first = prepared(
            root, tmp_path / "a", side_px=4, cache_dir=shared, progress=Listener(start_second)
        )
        assert second[0].wait(60) == 0
    finally:
        for process in second:
            process.kill()
            process.communicate()
    assert len(list(Path(shared).iterdir())) == 1
    assert (run / "split.csv").read_bytes() == (tmp_path / "a" / "split.csv").read_bytes()
    again = prepared(root, run, side_px=4, cache_dir=shared)
    assert np.array_equal(again.images, first.images)


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text.replace(text.splitlines()[1].split(",")[1], "0" * 64),
        lambda text: "\n".join(text.splitlines()[:-1]) + "\n",
        lambda text: text.replace(",validation\n", ",somewhere\n"),
        lambda text: "",
    ],
    ids=["another content", "a line less", "an unknown split", "empty"],
)
def test_a_split_file_of_other_images_is_refused(
    tmp_path: Path, damage: Callable[[str], str]
) -> None:
    root = as_folder(image_set(), tmp_path / "set")
    prepared(root, tmp_path / "run")
    split_file = tmp_path / "run" / "split.csv"
    split_file.write_text(damage(split_file.read_text(encoding="utf-8")), encoding="utf-8")
    with pytest.raises(RunFolderError, match="does not belong to these images"):
        prepared(root, tmp_path / "run")


# Where the images are


def test_a_missing_folder_names_the_key_and_the_variable(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        prepared(tmp_path / "absent", tmp_path / "run")
    assert caught.value.where == "data.root"
    assert caught.value.got == tmp_path / "absent"
    assert "KVASIR_PRUNE_DATA" in str(caught.value)


def test_a_source_without_a_root_is_refused(tmp_path: Path) -> None:
    config = ImageFolder(source="image_folder")
    with pytest.raises(DataError, match="needs a folder or an archive") as caught:
        prepare(config, side_px=4, seed=0, run_folder=tmp_path, progress=Silent())
    assert caught.value.where == "data.root"


def test_a_relative_root_is_found_here_or_in_the_data_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, base = tmp_path / "here", tmp_path / "base"
    here.mkdir()
    as_folder(image_set(per_class=4), base / "images" / "set")
    monkeypatch.chdir(here)
    monkeypatch.setenv("KVASIR_PRUNE_DATA", str(base))
    assert len(prepared("images/set", tmp_path / "base run").images) == 12
    as_folder(image_set(per_class=5), here / "images" / "set")
    assert len(prepared("images/set", tmp_path / "here run").images) == 15
    monkeypatch.delenv("KVASIR_PRUNE_DATA")
    shutil.rmtree(here / "images")
    with pytest.raises(DataError, match="no such file or folder"):
        prepared("images/set", tmp_path / "no run")


def test_a_file_that_is_no_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / "set.rar").write_bytes(b"x")
    with pytest.raises(DataError, match="no archive of images"):
        prepared(tmp_path / "set.rar", tmp_path / "run")


@pytest.mark.parametrize("part", [0.0, 0.3, 0.6, 0.99])
@pytest.mark.parametrize("storage", ["zip", "tar.gz"])
def test_a_truncated_archive_is_refused(tmp_path: Path, storage: str, part: float) -> None:
    location = STORAGES[storage](image_set(), tmp_path)
    content = location.read_bytes()
    location.write_bytes(content[: int(len(content) * part)])
    with pytest.raises(DataError, match="cannot be read to its end"):
        prepared(location, tmp_path / "run")


def test_an_image_that_an_archive_holds_twice_counts_once_in_its_last_form(tmp_path: Path) -> None:
    location = as_tar(image_set(), tmp_path / "set.tar")
    newer = one_colour(99)
    with tarfile.open(location, "a") as archive:
        info = tarfile.TarInfo("polyps/000.png")
        info.size = len(newer)
        archive.addfile(info, io.BytesIO(newer))
    dataset = prepared(location, tmp_path / "run")
    rows = row_of(dataset, tmp_path / "run")
    assert len(rows) == len(dataset.images) == 24
    assert (dataset.images[rows["polyps/000.png"]] == colour_of(99)).all()
    assert (dataset.images[rows["polyps/001.png"]] == COLOURS["polyps/001.png"]).all()


def test_a_link_that_leads_nowhere_is_named_and_not_passed_over(tmp_path: Path) -> None:
    root = as_folder(image_set(), tmp_path / "set")
    (root / "polyps" / "link.png").symlink_to(tmp_path / "absent.png")
    with pytest.raises(DataError, match="cannot be read") as caught:
        prepared(root, tmp_path / "run")
    assert caught.value.where == root / "polyps" / "link.png"


def test_a_link_to_an_image_is_an_image(tmp_path: Path) -> None:
    root = as_folder(image_set(), tmp_path / "set")
    (tmp_path / "elsewhere.png").write_bytes(one_colour(99))
    (root / "polyps" / "link.png").symlink_to(tmp_path / "elsewhere.png")
    dataset = prepared(root, tmp_path / "run")
    row = row_of(dataset, tmp_path / "run")["polyps/link.png"]
    assert (dataset.images[row] == colour_of(99)).all()


def test_a_tar_cut_between_or_inside_two_headers_is_refused(tmp_path: Path) -> None:
    location = as_tar(image_set(), tmp_path / "set.tar")
    content = location.read_bytes()
    second = tarfile.BLOCKSIZE * 2
    for length in (second, second + 1, second + tarfile.BLOCKSIZE - 1):
        location.write_bytes(content[:length])
        with pytest.raises(DataError, match="cannot be read to its end"):
            prepared(location, tmp_path / "run")


def inside_the_images(location: Path) -> list[int]:
    """Return places in an archive that hold bytes of images, not of names or dates.

    The first byte of a compressed file in a zip says how it is compressed.
    """
    if location.suffix == ".zip":
        with zipfile.ZipFile(location) as archive:
            starts = [i.header_offset + 30 + len(i.filename) for i in archive.infolist()[::5]]
        return [*starts, *(start + 100 for start in starts)]
    return [location.stat().st_size * part // 10 for part in range(1, 10)]


@pytest.mark.parametrize("storage", ["zip", "tar.gz"])
def test_a_byte_changed_inside_an_archive_is_noticed(tmp_path: Path, storage: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (3, 8, 20, 20, 3), np.uint8)
    files = {f"{c}/{n}.png": png(noise[i, n]) for i, c in enumerate(CLASSES) for n in range(8)}
    location = STORAGES[storage](files, tmp_path)
    content = location.read_bytes()
    for place in inside_the_images(location):
        damaged = b"\x00" if content[place] == 0xFF else b"\xff"
        location.write_bytes(content[:place] + damaged + content[place + 1 :])
        with pytest.raises(DataError, match="cannot be read to its end"):
            prepared(location, tmp_path / "run")


# Manifests


def patient_of(path: str) -> str:
    label, name = path.split("/")
    return f"{label}-{int(name.split('.')[0]) // 2}"


def manifest(rows: Sequence[tuple[str, str]], header: str = "file,patient") -> bytes:
    return "\n".join([header, *(f"{file},{group}" for file, group in rows), ""]).encode()


def by_path(files: Files) -> list[tuple[str, str]]:
    return [(path, patient_of(path)) for path in files]


FORTY = image_set(per_class=40)
GROUPED = {"manifest": "m.csv", "group_by": "patient"}


def assert_no_patient_is_torn(run: Path) -> None:
    places: dict[str, set[str]] = {}
    for row in split_rows(run):
        assert row["group"] == patient_of(row["path"])
        places.setdefault(row["group"], set()).add(row["split"])
    assert len(places) == 60
    assert all(len(names) == 1 for names in places.values())
    assert facts(run)["groups"] == 60


@pytest.mark.parametrize("storage", ["folder", "zip with a folder around", "tar.gz"])
@pytest.mark.parametrize("place", ["beside the classes", "beside the archive"])
def test_patients_of_a_manifest_are_never_torn(tmp_path: Path, storage: str, place: str) -> None:
    inside = {"m.csv": manifest(by_path(FORTY))} if place == "beside the classes" else {}
    location = STORAGES[storage](FORTY | inside, tmp_path)
    if not inside:
        (tmp_path / "m.csv").write_bytes(manifest(by_path(FORTY)))
    listener = Listener()
    prepared(location, tmp_path / "run", side_px=4, progress=listener, **GROUPED)
    assert_no_patient_is_torn(tmp_path / "run")
    assert not [note for note in listener.notes if "Left out" in note]


def test_a_manifest_beside_a_wrapping_folder_is_found(tmp_path: Path) -> None:
    files = wrapped(FORTY, "set/") | {"m.csv": manifest(by_path(FORTY))}
    prepared(as_zip(files, tmp_path / "set.zip"), tmp_path / "run", side_px=4, **GROUPED)
    assert_no_patient_is_torn(tmp_path / "run")


def test_a_manifest_may_be_given_by_its_path(tmp_path: Path) -> None:
    (tmp_path / "elsewhere.csv").write_bytes(manifest(by_path(FORTY)))
    root = as_folder(FORTY, tmp_path / "sets" / "set")
    keys = {"manifest": str(tmp_path / "elsewhere.csv"), "group_by": "patient"}
    prepared(root, tmp_path / "run", side_px=4, **keys)
    assert_no_patient_is_torn(tmp_path / "run")


def test_a_manifest_of_bare_names_with_more_columns_as_a_spreadsheet_writes_it(
    tmp_path: Path,
) -> None:
    files = {f"{label}/{label}{n}.png": one_colour(n) for label in "ab" for n in range(9)}
    lines = ["file,age,patient", *(f'{p[2:]},"6,0",{p[3:-4]}' for p in files)]
    files["m.csv"] = b"\xef\xbb\xbf" + "\r\n".join(lines).encode()
    prepared(as_folder(files, tmp_path / "set"), tmp_path / "run", max_deviation=0.1, **GROUPED)
    rows = split_rows(tmp_path / "run")
    assert {row["group"] for row in rows} == {str(n) for n in range(9)}
    of_group = {(row["group"], row["split"]) for row in rows}
    assert len(of_group) == 9


@pytest.mark.parametrize(
    ("content", "keys", "words"),
    [
        (None, GROUPED, ["manifest does not exist", "m.csv"]),
        (
            manifest(by_path(FORTY), "file,video"),
            GROUPED,
            ['no column "patient"', "data.group_by", "file, video"],
        ),
        (manifest(by_path(FORTY), "name,patient"), GROUPED, ['no column "file"', "name, patient"]),
        (b"", GROUPED, ['no column "file"', "an empty file"]),
        (
            manifest(by_path(FORTY)[3:]),
            GROUPED,
            ["3 images have no patient", "cecum/000.png, cecum/001.png, cecum/002.png"],
        ),
        (
            manifest([*by_path(FORTY)[1:], ("cecum/000.png", "")]),
            GROUPED,
            ["1 images have no patient", "cecum/000.png"],
        ),
        (
            manifest([*by_path(FORTY), ("cecum/000.png", "another")]),
            GROUPED,
            ['puts "cecum/000.png" into two groups'],
        ),
        (
            manifest([(path.split("/")[1], "one") for path in FORTY]),
            GROUPED,
            ["120 images have no patient"],
        ),
        (b"file,patient\n\xff\xfe,x\n", GROUPED, ["no CSV text"]),
    ],
    ids=[
        "no file",
        "no group column",
        "no file column",
        "empty",
        "missing rows",
        "empty group",
        "two groups",
        "ambiguous names",
        "not UTF-8",
    ],
)
def test_a_manifest_that_does_not_fit(
    tmp_path: Path, content: bytes | None, keys: dict[str, str], words: list[str]
) -> None:
    files = FORTY | ({} if content is None else {"m.csv": content})
    root = as_folder(files, tmp_path / "set")
    with pytest.raises(DataError) as caught:
        prepared(root, tmp_path / "run", side_px=4, **keys)
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_patients_too_coarse_for_the_split_are_refused(tmp_path: Path) -> None:
    rows = [(path, f"patient{int(path.split('/')[1][:3]) // 12}") for path in FORTY]
    root = as_folder(FORTY | {"m.csv": manifest(rows)}, tmp_path / "set")
    with pytest.raises(DataError, match="cannot be divided as wished") as caught:
        prepared(root, tmp_path / "run", side_px=4, **GROUPED)
    assert "cecum: train" in str(caught.value)
    assert not (tmp_path / "run" / "split.csv").exists()
    prepared(root, tmp_path / "run", side_px=4, max_deviation=0.2, **GROUPED)
    assert facts(tmp_path / "run")["groups"] == 4
