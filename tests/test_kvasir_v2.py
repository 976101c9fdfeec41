"""Kvasir v2 is obtained once, checked once, and never trusted when bytes or counts are wrong."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from zipfile import ZIP_DEFLATED, BadZipFile, ZipFile

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvasir_prune.data import download
from kvasir_prune.data.kvasir_classes import KVASIR_CLASSES
from kvasir_prune.data.kvasir_v2 import ARCHIVE_NAME, BYTES_IN_2023, FOLDER_NAME, URL, obtain
from kvasir_prune.errors import DataError
from kvasir_prune.progress import Silent
from tests.file_systems import read_only


class Recorder(Silent):
    """A `Progress` that remembers which jobs it saw and what it was told."""

    def __init__(self) -> None:
        self.jobs: list[str] = []
        self.notes: list[str] = []

    @contextmanager
    def task(self, description: str, total: float | None) -> Iterator[Recorder]:
        self.jobs.append(description)
        yield self

    def advance(self, steps: float = 1, **facts: object) -> None:
        pass

    def note(self, sentence: str) -> None:
        self.notes.append(sentence)


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Keep the test output free of access logs."""


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(QuietHandler, directory=folder))
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(autouse=True, scope="module")
def _no_pauses_no_proxy() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(download, "PAUSES_S", ())
        patch.setenv("NO_PROXY", "127.0.0.1")
        yield


def pack(archive: Path, counts: dict[str, int] | None = None, *, seed: int = 0) -> None:
    """Write an archive of the layout of Kvasir v2, with images of 8 x 8 px."""
    rng = np.random.default_rng(seed)
    with ZipFile(archive, "w", ZIP_DEFLATED) as opened:
        opened.mkdir(FOLDER_NAME)
        opened.writestr(f"__MACOSX/{FOLDER_NAME}/polyps/._0.jpg", b"resource fork")
        for class_name, count in (counts or dict.fromkeys(KVASIR_CLASSES, 2)).items():
            for index in range(count):
                image = rng.integers(0, 256, (8, 8, 3), np.uint8)
                jpeg = cv2.imencode(".jpg", image)[1].tobytes()
                opened.writestr(f"{FOLDER_NAME}/{class_name}/{index}.jpg", jpeg)


def flip(archive: Path, position: int, mask: int = 0xFF) -> None:
    content = bytearray(archive.read_bytes())
    content[position] ^= mask
    archive.write_bytes(content)


def images_of(archive: Path) -> dict[str, bytes]:
    with ZipFile(archive) as opened:
        return {name: opened.read(name) for name in opened.namelist() if name.endswith(".jpg")}


def prepared(folder: Path, **changed: object) -> Path:
    """Call `obtain` with an address where nobody listens: what is there must suffice."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/archive.zip"
        arguments = {"url": url, "images_per_class": 2, "progress": Silent(), **changed}
        return obtain(folder, **arguments)  # type: ignore[arg-type]


def test_kvasir_is_downloaded_checked_and_noted_once(tmp_path):
    pack(tmp_path / "packed.zip")
    content = (tmp_path / "packed.zip").read_bytes()
    folder = tmp_path / "a" / "b"
    with serving(tmp_path) as address:
        url = f"{address}/packed.zip"
        first = Recorder()
        archive = obtain(folder, url=url, images_per_class=2, progress=first)
    assert first.notes == []
    assert archive == folder / ARCHIVE_NAME
    assert archive.read_bytes() == content
    record = json.loads((folder / f"{ARCHIVE_NAME}.sha256.json").read_text())
    assert record["sha256"] == hashlib.sha256(content).hexdigest()
    assert record["size"] == len(content)
    assert record["mtime_ns"] == archive.stat().st_mtime_ns
    assert record["verified"] is True
    again = Recorder()
    assert prepared(folder, progress=again) == archive
    assert again.jobs == []


def test_an_archive_in_a_folder_that_can_only_be_read_is_used_and_checked_every_time(tmp_path):
    pack(tmp_path / ARCHIVE_NAME)
    with read_only(tmp_path):
        for _ in range(2):
            told = Recorder()
            assert prepared(tmp_path, progress=told) == tmp_path / ARCHIVE_NAME
            assert "Read-only file system" in told.notes[-1]
            assert told.jobs


@pytest.mark.parametrize("images_per_class", [1, 3])
def test_a_check_for_other_numbers_of_images_is_not_skipped(tmp_path, images_per_class):
    pack(tmp_path / ARCHIVE_NAME)
    prepared(tmp_path)
    with pytest.raises(DataError, match="numbers of images differ"):
        prepared(tmp_path, images_per_class=images_per_class)


def test_an_archive_that_changed_after_its_check_is_checked_again(tmp_path):
    archive = tmp_path / ARCHIVE_NAME
    pack(archive)
    prepared(tmp_path)
    flip(archive, archive.read_bytes().index(b"polyps/0.jpg") + 200)
    os.utime(archive, ns=(0, 0))
    with pytest.raises(DataError, match="1 of 18 members of the archive are damaged"):
        prepared(tmp_path)


def test_damaged_members_are_named_and_nothing_is_deleted(tmp_path):
    archive = tmp_path / ARCHIVE_NAME
    pack(archive)
    content = archive.read_bytes()
    names = [f"{FOLDER_NAME}/{class_name}/1.jpg" for class_name in KVASIR_CLASSES[:7]]
    for name in names:
        flip(archive, content.index(name.encode()) + 200)
    with pytest.raises(DataError, match="7 of 18 members") as raised:
        prepared(tmp_path)
    assert raised.value.got == f"{', '.join(names[:5])} and 2 more"
    assert raised.value.fix == f"delete {archive} and run again"
    assert [path.name for path in tmp_path.iterdir()] == [ARCHIVE_NAME]


@settings(max_examples=150, deadline=None)
@given(data=st.data(), mask=st.integers(1, 255))
def test_a_changed_byte_is_noticed_or_changes_no_image(data, mask):
    with TemporaryDirectory() as folder:
        archive = Path(folder, ARCHIVE_NAME)
        pack(archive, dict.fromkeys(KVASIR_CLASSES, 1))
        before = images_of(archive)
        flip(archive, data.draw(st.integers(0, archive.stat().st_size - 1)), mask)
        with suppress(DataError):
            prepared(Path(folder), images_per_class=1)
            after = images_of(archive)
            assert sorted(after.values()) == sorted(before.values())


@pytest.mark.parametrize("keep", [0, 1, 2_000])
def test_a_file_that_is_cut_short_is_no_archive(tmp_path, keep):
    archive = tmp_path / ARCHIVE_NAME
    pack(archive)
    archive.write_bytes(archive.read_bytes()[:keep])
    with pytest.raises(DataError, match="not a complete zip archive") as raised:
        prepared(tmp_path)
    assert isinstance(raised.value.__cause__, BadZipFile)


@pytest.mark.parametrize(
    ("changed", "found"),
    [({"polyps": 1}, "polyps 1"), ({"polyps": 0}, "polyps 0"), ({"tonsils": 2}, "tonsils 2")],
)
@pytest.mark.parametrize("is_unpacked", [False, True])
def test_other_classes_or_numbers_of_images_are_named(tmp_path, changed, found, is_unpacked):
    pack(tmp_path / ARCHIVE_NAME, {**dict.fromkeys(KVASIR_CLASSES, 2), **changed})
    if is_unpacked:
        ZipFile(tmp_path / ARCHIVE_NAME).extractall(tmp_path)
    with pytest.raises(DataError, match="numbers of images differ") as raised:
        prepared(tmp_path)
    assert raised.value.got == f"{found} images"


def test_a_folder_unpacked_by_the_user_needs_no_archive(tmp_path):
    pack(tmp_path / "packed.zip")
    ZipFile(tmp_path / "packed.zip").extractall(tmp_path)
    assert prepared(tmp_path) == tmp_path / FOLDER_NAME


def test_without_a_server_the_address_and_the_place_for_the_archive_are_named(tmp_path):
    with pytest.raises(DataError, match="no connection to the server") as raised:
        prepared(tmp_path / "images")
    place = tmp_path / "images" / ARCHIVE_NAME
    by_hand = f"download {raised.value.where} by hand and save it as {place}"
    assert by_hand in str(raised.value)
    assert place.parent.is_dir()


def test_a_size_other_than_the_known_one_is_a_note_and_no_error(tmp_path):
    pack(tmp_path / ARCHIVE_NAME)
    progress = Recorder()
    prepared(tmp_path, url=URL, progress=progress)
    assert [f"{BYTES_IN_2023:,}" in note for note in progress.notes] == [True]
