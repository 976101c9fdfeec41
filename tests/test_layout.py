"""Which files are images of which class: class folders, split folders, wrappers and junk."""

import zipfile
from pathlib import Path
from random import Random

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from kvasir_prune.data.layout import SPLIT_FOLDERS, Layout, recognise
from kvasir_prune.data.tree import open_tree
from kvasir_prune.errors import DataError
from kvasir_prune.types import TEST, TRAIN, VALIDATION

JUNK = (
    "Thumbs.db",
    "desktop.ini",
    ".DS_Store",
    "polyps/.DS_Store",
    "polyps/Thumbs.db",
    "polyps/notes.txt",
    "polyps/._a.jpg",
    "__MACOSX/polyps/._a.jpg",
    "readme.md",
    "lonely.jpg",
)


def laid_out(*files: str, empty: tuple[str, ...] = ()) -> Layout:
    """Recognise a tree of `files`, the folders above them, and `empty` folders."""
    folders = {parent.as_posix() for name in files for parent in Path(name).parents}
    return recognise(files, sorted({*folders, *empty} - {"."}), where="the tree")


def labels(layout: Layout) -> dict[str, str]:
    return {record.path: record.label for record in layout.records}


def test_class_folders() -> None:
    layout = laid_out("polyps/b.jpg", "polyps/a.PNG", "cecum/c.JPEG", "cecum/d.tif")
    assert labels(layout) == {
        "cecum/c.JPEG": "cecum",
        "cecum/d.tif": "cecum",
        "polyps/a.PNG": "polyps",
        "polyps/b.jpg": "polyps",
    }
    assert layout.classes == ("cecum", "polyps")
    assert [record.path for record in layout.records] == sorted(labels(layout))
    assert (layout.top, layout.left_out) == ("", ())
    assert {record.given for record in layout.records} == {None}


@pytest.mark.parametrize(
    ("train", "validation", "test"),
    [("train", "val", "test"), ("Training", "validation", "Testing"), ("train", "valid", "test")],
)
def test_split_folders_above_the_class_folders(train: str, validation: str, test: str) -> None:
    layout = laid_out(*(f"{part}/{c}/1.jpg" for part in (train, validation, test) for c in "ab"))
    assert layout.classes == ("a", "b")
    assert {record.path: record.given for record in layout.records} == {
        **{f"{train}/{label}/1.jpg": TRAIN for label in "ab"},
        **{f"{validation}/{label}/1.jpg": VALIDATION for label in "ab"},
        **{f"{test}/{label}/1.jpg": TEST for label in "ab"},
    }


def test_a_train_folder_alone_is_a_split_folder() -> None:
    layout = laid_out("train/a/1.jpg", "train/b/1.jpg")
    assert layout.classes == ("a", "b")
    assert {record.given for record in layout.records} == {TRAIN}


@pytest.mark.parametrize("wrapper", ["set/", "outer/inner/"])
@pytest.mark.parametrize("part", ["", "train/"])
def test_wrapping_folders_are_taken_off(wrapper: str, part: str) -> None:
    layout = laid_out(*(f"{wrapper}{part}{c}/1.jpg" for c in "ab"), f"{wrapper}licence.txt")
    assert layout.top == wrapper
    assert set(labels(layout)) == {f"{part}a/1.jpg", f"{part}b/1.jpg"}
    assert layout.left_out == (f"{wrapper}licence.txt",)


def test_a_wrapping_folder_beside_junk_is_taken_off() -> None:
    layout = laid_out("set/a/1.jpg", "set/b/1.jpg", "__MACOSX/set/a/._1.jpg", ".DS_Store")
    assert labels(layout) == {"a/1.jpg": "a", "b/1.jpg": "b"}


def test_junk_is_left_out_and_reported() -> None:
    layout = laid_out("polyps/a.jpg", "cecum/b.jpg", *JUNK)
    assert labels(layout) == {"polyps/a.jpg": "polyps", "cecum/b.jpg": "cecum"}
    assert layout.left_out == tuple(sorted(JUNK))


def test_images_deeper_inside_belong_to_their_class_folder() -> None:
    layout = laid_out("a/1.jpg", "a/patient1/2.jpg", "a/patient1/day2/3.jpg", "b/patient1/4.jpg")
    assert labels(layout) == {
        "a/1.jpg": "a",
        "a/patient1/2.jpg": "a",
        "a/patient1/day2/3.jpg": "a",
        "b/patient1/4.jpg": "b",
    }
    assert layout.classes == ("a", "b")


def test_an_empty_class_folder_is_refused_by_name() -> None:
    with pytest.raises(DataError, match=r"A class has no images: b\."):
        laid_out("a/1.jpg", "c/1.jpg", empty=("b",))
    with pytest.raises(DataError, match=r"2 classes have no images: b, c\."):
        laid_out("a/1.jpg", "b/notes.txt", empty=("c",))


def test_a_class_that_only_one_split_folder_has_is_a_class() -> None:
    layout = laid_out("train/a/1.jpg", "train/b/1.jpg", "test/a/1.jpg", empty=("test/b",))
    assert layout.classes == ("a", "b")
    assert len(layout.records) == 3


@pytest.mark.parametrize("files", [("a/1.jpg", "a/2.jpg"), ("set/a/1.jpg",), ("train/a/1.jpg",)])
def test_one_class_only_is_refused(files: tuple[str, ...]) -> None:
    with pytest.raises(DataError, match='one class only, "a"'):
        laid_out(*files)


@pytest.mark.parametrize("files", [(), ("1.jpg", "2.jpg"), ("readme.txt",), ("__MACOSX/a/1.jpg",)])
def test_no_class_folders_are_refused(files: tuple[str, ...]) -> None:
    with pytest.raises(DataError, match="no class folders") as caught:
        laid_out(*files)
    assert caught.value.where == "the tree"


NAMES = st.from_regex(r"[a-z0-9]{1,8}", fullmatch=True)


@given(
    st.dictionaries(NAMES, st.sets(NAMES, min_size=1, max_size=4), min_size=2, max_size=5),
    st.sampled_from(["", "set/", "outer/set/"]),
    st.randoms(use_true_random=False),
)
def test_every_image_is_found_once_under_its_class(
    classes: dict[str, set[str]],
    wrapper: str,
    shuffler: Random,
) -> None:
    assume(not set(classes) <= set(SPLIT_FOLDERS))
    expected = {f"{c}/{name}.jpg": c for c, names in classes.items() for name in names}
    files = [f"{wrapper}{path}" for path in expected]
    shuffler.shuffle(files)
    layout = laid_out(*files)
    assert labels(layout) == expected
    assert layout.classes == tuple(sorted(classes))


def test_a_folder_and_an_archive_are_laid_out_alike(tmp_path: Path) -> None:
    folder, archive = tmp_path / "set", tmp_path / "set.zip"
    names = ["a/1.jpg", "a/deep/2.jpg", "b/1.jpg", "b/notes.txt", ".DS_Store"]
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    with zipfile.ZipFile(archive, "w") as stored:
        for name in reversed(names):
            stored.write(folder / name, name)
    found = []
    for location in (folder, archive):
        files, folders = open_tree(location).members()
        found.append(recognise([file.path for file in files], folders, where=location))
    assert found[0] == found[1]
    assert labels(found[0]) == {"a/1.jpg": "a", "a/deep/2.jpg": "a", "b/1.jpg": "b"}
    assert found[0].left_out == (".DS_Store", "b/notes.txt")


def test_an_empty_class_folder_is_seen_in_a_folder_and_in_an_archive(tmp_path: Path) -> None:
    for name in ("a", "b", "empty"):
        (tmp_path / "set" / name).mkdir(parents=True)
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as stored:
        for label in "ab":
            (tmp_path / "set" / label / "1.jpg").write_bytes(b"x")
            stored.writestr(f"{label}/1.jpg", b"x")
        stored.writestr("empty/", b"")
    for location in (tmp_path / "set", tmp_path / "set.zip"):
        files, folders = open_tree(location).members()
        with pytest.raises(DataError, match="A class has no images: empty"):
            recognise([file.path for file in files], folders, where=location)
