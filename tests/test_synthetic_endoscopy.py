"""The cartoon Kvasir set: same bits each time, Kvasir's layout, complete or absent, learnable."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from sklearn.linear_model import RidgeClassifier

from kvasir_prune.data.synthetic import KVASIR_CLASSES, render, write_dataset
from kvasir_prune.errors import DataError
from kvasir_prune.progress import Silent, Task
from tests.file_systems import read_only

FOLDERS_OF_KVASIR_V2 = [
    "dyed-lifted-polyps",
    "dyed-resection-margins",
    "esophagitis",
    "normal-cecum",
    "normal-pylorus",
    "normal-z-line",
    "polyps",
    "ulcerative-colitis",
]
IMAGES_PER_CLASS = 3
SIDE_PX = 48
SEED = 7

# It kills itself after some images: SIGKILL leaves no chance to tidy up, wherever it comes from.
KILLED_WRITER = """
import os, signal, sys
from contextlib import contextmanager
from pathlib import Path
from kvasir_prune.data.synthetic import write_dataset

class Killer:
    def __init__(self, images):
        self.left = images
    @contextmanager
    def task(self, description, total):
        yield self
    def advance(self, steps=1, **facts):
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
    def note(self, sentence):
        pass

write_dataset(Path(sys.argv[1]), images_per_class=3, side_px=48, seed=7,
              progress=Killer(int(sys.argv[2])))
"""


def write(folder: Path, *, images: int = IMAGES_PER_CLASS, side: int = SIDE_PX, seed: int = SEED):
    return write_dataset(
        folder, images_per_class=images, side_px=side, seed=seed, progress=Silent()
    )


def jpegs(root: Path) -> dict[str, bytes]:
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*.jpg")}


def draw(class_name: str, *seeds: int, side: int = SIDE_PX) -> np.ndarray:
    return render(class_name, np.random.default_rng(seeds), side)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("whole"))


def test_the_classes_are_those_of_kvasir_v2() -> None:
    assert list(KVASIR_CLASSES) == FOLDERS_OF_KVASIR_V2


@given(st.sampled_from(KVASIR_CLASSES), st.integers(0, 2**32), st.integers(16, 130))
@settings(max_examples=60, deadline=None)
def test_an_image_is_a_lit_field_of_view_with_black_corners(
    class_name: str, seed: int, side: int
) -> None:
    image = draw(class_name, seed, side=side)
    assert image.shape == (side, side, 3)
    assert image.dtype == np.uint8
    edge = max(1, side // 16)
    for rows in (slice(None, edge), slice(-edge, None)):
        for columns in (slice(None, edge), slice(-edge, None)):
            assert image[rows, columns].max() == 0
    middle = slice(side // 4, -(side // 4))
    assert image[middle, middle].mean() > 25
    assert image[middle, middle].std() > 5


def test_the_same_state_draws_the_same_bits_whatever_was_drawn_before() -> None:
    forwards = {name: draw(name, 3) for name in KVASIR_CLASSES}
    backwards = {name: draw(name, 3) for name in reversed(KVASIR_CLASSES)}
    for name in KVASIR_CLASSES:
        np.testing.assert_array_equal(forwards[name], backwards[name])
        assert (forwards[name] != draw(name, 4)).mean() > 0.3


@pytest.mark.parametrize("class_name", KVASIR_CLASSES)
def test_one_seed_is_one_scene_at_every_side(class_name: str) -> None:
    small = draw(class_name, 5, side=48).mean(axis=2)
    large = draw(class_name, 5, side=144).reshape(48, 3, 48, 3, 3).mean(axis=(1, 3, 4))
    assert np.corrcoef(small.ravel(), large.ravel())[0, 1] > 0.95


@pytest.mark.parametrize("name", ["polyp", "Polyps", ""])
def test_an_unknown_class_is_refused(name: str) -> None:
    with pytest.raises(DataError, match="ulcerative-colitis"):
        draw(name, 0)


def test_only_the_dyed_classes_show_much_blue() -> None:
    blueness = {}
    for name in KVASIR_CLASSES:
        images = np.stack([draw(name, 11, n) for n in range(20)]).astype(int)
        blue = (images[..., 2] > images[..., 0] + 15) & (images[..., 2] > 50)
        blueness[name] = np.median(blue.mean(axis=(1, 2)))
    dyed = [share for name, share in blueness.items() if name.startswith("dyed")]
    others = [share for name, share in blueness.items() if not name.startswith("dyed")]
    assert min(dyed) > 0.02
    assert max(others) < 0.002


def test_a_linear_model_on_thumbnails_learns_much_but_not_all() -> None:
    pixels, labels, held_out = [], [], []
    for label, name in enumerate(KVASIR_CLASSES):
        for number in range(45):
            thumbnail = draw(name, 2, label, number).reshape(12, 4, 12, 4, 3).mean(axis=(1, 3))
            pixels.append(thumbnail.ravel() / 255)
            labels.append(label)
            held_out.append(number >= 30)
    x, y, test = np.array(pixels), np.array(labels), np.array(held_out)
    model = RidgeClassifier(alpha=10).fit(x[~test], y[~test])
    accuracy = model.score(x[test], y[test])
    assert 3 / 8 < accuracy < 0.9, accuracy


def test_the_set_has_kvasirs_layout_and_decodes(whole: Path) -> None:
    assert whole.name == "kvasir-dataset-v2"
    assert sorted(p.name for p in whole.iterdir() if p.is_dir()) == FOLDERS_OF_KVASIR_V2
    for folder in FOLDERS_OF_KVASIR_V2:
        files = sorted((whole / folder).iterdir())
        assert len(files) == IMAGES_PER_CLASS
        for file in files:
            with Image.open(file) as image:
                image.load()
                assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (SIDE_PX, SIDE_PX))
    assert len({Path(name).stem for name in jpegs(whole)}) == 8 * IMAGES_PER_CLASS


def test_the_files_hold_red_mucosa_not_swapped_channels(whole: Path) -> None:
    for file in (whole / "normal-pylorus").iterdir():
        with Image.open(file) as image:
            red, _, blue = np.asarray(image).reshape(-1, 3).mean(axis=0)
        assert red > 1.2 * blue


def test_the_marker_says_that_these_are_no_medical_images(whole: Path) -> None:
    record = json.loads((whole / ".synthetic.json").read_text(encoding="utf-8"))
    assert "not medical images" in record["notice"]
    assert record["parameters"]["seed"] == SEED


def test_an_image_depends_on_seed_class_number_and_side_only(whole: Path, tmp_path: Path) -> None:
    larger = jpegs(write(tmp_path / "larger", images=IMAGES_PER_CLASS + 2))
    other = jpegs(write(tmp_path / "other", seed=SEED + 1))
    first = jpegs(whole)
    assert len(larger) == 8 * (IMAGES_PER_CLASS + 2)
    assert first.items() <= larger.items()
    assert not set(first) & set(other)
    assert not set(first.values()) & set(other.values())


def test_a_complete_set_is_left_as_it_is(tmp_path: Path) -> None:
    root = write(tmp_path, images=1)
    before = {p: p.stat().st_mtime_ns for p in root.rglob("*")}
    assert write(tmp_path, images=1) == root
    assert {p: p.stat().st_mtime_ns for p in root.rglob("*")} == before


def test_a_complete_set_in_a_folder_that_can_only_be_read_is_used(tmp_path: Path) -> None:
    root = write(tmp_path, images=1)
    (lock,) = (path for path in tmp_path.iterdir() if path.name.endswith(".lock"))
    lock.unlink()
    with read_only(tmp_path):
        assert write(tmp_path, images=1) == root


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"seed": SEED + 1}, ["seed"]),
        ({"side": SIDE_PX + 1, "images": 4}, ["side_px", "images_per_class"]),
    ],
)
def test_other_parameters_are_refused_by_name(
    whole: Path, change: dict[str, int], names: list[str]
) -> None:
    before = jpegs(whole)
    with pytest.raises(DataError) as caught:
        write(whole.parent, **change)
    for name in ("seed", "side_px", "images_per_class"):
        assert (name in str(caught.value)) == (name in names)
    assert jpegs(whole) == before


def test_a_foreign_or_a_thinned_set_is_refused_and_kept(tmp_path: Path) -> None:
    foreign = tmp_path / "foreign" / "kvasir-dataset-v2" / "polyps"
    foreign.mkdir(parents=True)
    (foreign / "real.jpg").write_bytes(b"a patient's image")
    with pytest.raises(DataError, match="something else"):
        write(tmp_path / "foreign", images=1)
    assert (foreign / "real.jpg").read_bytes() == b"a patient's image"

    thinned = write(tmp_path / "thinned", images=1)
    victim = next((thinned / "polyps").iterdir())
    victim.unlink()
    with pytest.raises(DataError, match=victim.name):
        write(tmp_path / "thinned", images=1)


@pytest.mark.parametrize("text", ["", "[1, 2]", '{"parameters": 3}', '{"parameters": "a"}'])
def test_a_damaged_marker_is_refused(tmp_path: Path, text: str) -> None:
    root = tmp_path / "kvasir-dataset-v2"
    root.mkdir()
    (root / ".synthetic.json").write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match="something else"):
        write(tmp_path, images=1)


@pytest.mark.parametrize("change", [{"images": 0}, {"side": 15}, {"seed": -1}])
def test_parameters_out_of_range_are_refused_before_anything_is_written(
    tmp_path: Path, change: dict[str, int]
) -> None:
    with pytest.raises(DataError, match="at least"):
        write(tmp_path / "set", **change)
    assert not (tmp_path / "set").exists()


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL on this system")
@pytest.mark.parametrize("killed_after", [13, 8 * IMAGES_PER_CLASS])
def test_a_killed_writer_leaves_no_half_set(whole: Path, tmp_path: Path, killed_after: int) -> None:
    command = [sys.executable, "-c", KILLED_WRITER, str(tmp_path), str(killed_after)]
    killed = subprocess.run(command, check=False, timeout=60)
    assert killed.returncode == -signal.SIGKILL
    assert not (tmp_path / "kvasir-dataset-v2").exists()
    assert len(jpegs(tmp_path)) == killed_after

    assert jpegs(write(tmp_path)) == jpegs(whole)
    assert [p.name for p in tmp_path.iterdir() if not p.name.startswith(".")] == [whole.name]
    assert len(jpegs(tmp_path)) == 8 * IMAGES_PER_CLASS


def test_two_writers_at_once_make_one_set(whole: Path, tmp_path: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        roots = list(pool.map(write, [tmp_path, tmp_path]))
    assert roots[0] == roots[1]
    assert jpegs(roots[0]) == jpegs(whole)


def test_progress_is_told_of_each_image(tmp_path: Path) -> None:
    class Counting(Silent):
        announced: float | None = None
        done: float = 0

        @contextmanager
        def task(self, description: str, total: float | None) -> Iterator[Task]:
            self.announced = total
            yield self

        def advance(self, steps: float = 1, **facts: object) -> None:
            self.done += steps

    progress = Counting()
    write_dataset(tmp_path, images_per_class=2, side_px=16, seed=0, progress=progress)
    assert progress.announced == progress.done == 16
