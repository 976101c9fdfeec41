"""Downloads over a real socket, from a server that misbehaves on demand."""

from __future__ import annotations

import itertools
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kvasir_prune.data import download
from kvasir_prune.data.download import CHUNK_BYTES, fetch
from kvasir_prune.data.partial_file import PartialFile
from kvasir_prune.errors import DataError, StorageError
from kvasir_prune.progress import Silent
from tests import file_systems

CONTENT = random.Random(1).randbytes(1 << 20)
OTHER_CONTENT = random.Random(2).randbytes(1 << 20)
CHUNKS_OF_VERSIONS = (3, 5, 5, 4)
VERSIONS = [
    random.Random(seed).randbytes(chunks * CHUNK_BYTES)
    for seed, chunks in enumerate(CHUNKS_OF_VERSIONS)
]


@dataclass
class Remote:
    """What the server offers, how it misbehaves, and what it was asked for."""

    content: bytes = CONTENT
    validators: dict[str, str] = field(default_factory=lambda: {"ETag": '"1"'})
    honours_ranges: bool = True
    honours_if_range: bool = True
    announces_length: bool = True
    statuses: list[int] = field(default_factory=list)
    drops: list[int] = field(default_factory=list)
    half_way: Callable[[], object] = lambda: None
    asked: list[str | None] = field(default_factory=list)
    answered: list[tuple[int, int]] = field(default_factory=list)
    url: str = ""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        remote: Remote = self.server.remote  # type: ignore[attr-defined]
        remote.asked.append(self.headers["Range"])
        status = remote.statuses.pop(0) if remote.statuses else 200
        if status != 200:
            self.send_error(status)
            return
        first = self._first_byte(remote)
        size = len(remote.content)
        if first is not None and first >= size:
            self._head(remote, 416, {"Content-Range": f"bytes */{size}", "Content-Length": "0"})
            return
        body = remote.content[first or 0 :]
        length = {"Content-Length": str(len(body))} if remote.announces_length else {}
        if first is None:
            self._head(remote, 200, length)
        else:
            span = {"Content-Range": f"bytes {first}-{size - 1}/{size}"}
            self._head(remote, 206, {**length, **span})
        with suppress(ConnectionError):
            self._send(remote, body)

    def _first_byte(self, remote: Remote) -> int | None:
        asked, condition = self.headers["Range"], self.headers["If-Range"]
        fits = condition in remote.validators.values() or not remote.honours_if_range
        return int(asked[6:-1]) if asked and fits and remote.honours_ranges else None

    def _head(self, remote: Remote, status: int, headers: dict[str, str]) -> None:
        # Before the client has it, and goes on.
        remote.answered.append((status, int(headers.get("Content-Length", -1))))
        self.send_response(status)
        self.close_connection = True
        for name, value in {**headers, **remote.validators, "Connection": "close"}.items():
            self.send_header(name, value)
        self.end_headers()

    def _send(self, remote: Remote, body: bytes) -> None:
        if remote.drops:
            self.wfile.write(body[: remote.drops.pop(0)])
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        self.wfile.write(body[: len(body) // 2])
        self.wfile.flush()
        remote.half_way()
        self.wfile.write(body[len(body) // 2 :])

    def log_message(self, *_: object) -> None:
        """Keep the test output free of access logs."""


@contextmanager
def serving(remote: Remote) -> Iterator[Remote]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.remote = remote  # type: ignore[attr-defined]
    remote.url = f"http://127.0.0.1:{server.server_port}/archive.zip"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield remote
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Recorder(Silent):
    """A `Progress` that remembers what it was told."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.totals: list[float | None] = []
        self.done: list[float] = []

    @contextmanager
    def task(self, description: str, total: float | None) -> Iterator[Recorder]:
        self.totals.append(total)
        self.done.append(0)
        yield self

    def advance(self, steps: float = 1, **facts: object) -> None:
        self.done[-1] += steps

    def note(self, sentence: str) -> None:
        self.notes.append(sentence)


class InterruptedAtTheEnd(Recorder):
    """Ctrl-C between the last byte and the renaming."""

    def advance(self, steps: float = 1, **facts: object) -> None:
        super().advance(steps)
        if self.done[-1] == self.totals[-1]:
            raise KeyboardInterrupt


@pytest.fixture(autouse=True, scope="module")
def _no_pauses_no_proxy() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(download, "PAUSES_S", (0.0, 0.0, 0.0))
        patch.setenv("NO_PROXY", "127.0.0.1")
        yield


@pytest.fixture
def remote() -> Iterator[Remote]:
    with serving(Remote()) as running:
        yield running


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 512 KiB."""
    with file_systems.small_disk(tmp_path, "512k") as disk:
        yield disk


@contextmanager
def single_try() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(download, "PAUSES_S", ())
        yield


def get(remote: Remote, target: Path, **changed: object) -> Path:
    return fetch(remote.url, target, **{"expected_bytes": None, "progress": Silent(), **changed})  # type: ignore[arg-type]


def wait_for(part: Path, size: int) -> None:
    for _ in range(3_000):
        if part.exists() and part.stat().st_size >= size:
            return
        time.sleep(0.01)
    raise AssertionError(f"{part.name} never had {size} bytes")


def start_of(asked: str | None) -> int:
    return 0 if asked is None else int(asked[6:-1])


def test_a_download_is_complete_shown_in_bytes_and_leaves_nothing_beside_it(remote, tmp_path):
    progress = Recorder()
    target = tmp_path / "archive.zip"
    assert get(remote, target, expected_bytes=len(CONTENT), progress=progress) == target
    assert target.read_bytes() == CONTENT
    assert (progress.totals, progress.done) == ([len(CONTENT)], [len(CONTENT)])
    assert [path.name for path in tmp_path.iterdir()] == ["archive.zip"]


def test_an_existing_target_is_left_alone_and_nothing_is_requested(remote, tmp_path):
    target = tmp_path / "archive.zip"
    target.write_bytes(b"mine")
    get(remote, target, expected_bytes=len(CONTENT))
    assert target.read_bytes() == b"mine"
    assert remote.asked == []


@settings(max_examples=25, deadline=None)
@given(drops=st.lists(st.integers(0, len(CONTENT) - 1), max_size=3))
def test_after_dropped_connections_only_what_is_missing_is_asked_for(drops):
    with TemporaryDirectory() as folder, serving(Remote(drops=list(drops))) as remote:
        assert get(remote, Path(folder, "archive.zip")).read_bytes() == CONTENT
    starts = [start_of(asked) for asked in remote.asked]
    for sent, (start, following) in zip(drops, itertools.pairwise(starts), strict=False):
        arrived = min(start + sent, len(CONTENT))
        assert arrived - CHUNK_BYTES < following <= arrived


def state(version: int, names: tuple[str, ...], **changed: object) -> dict[str, object]:
    """One state of a remote file and of the server; the connection drops after two chunks."""
    validators = {"ETag": f'"{version}"', "Last-Modified": f"Mon, 0{version + 1} May 2023"}
    return {
        "content": VERSIONS[version],
        "validators": {name: validators[name] for name in names},
        "drops": [2 * CHUNK_BYTES],
        **changed,
    }


def test_any_number_of_drops_is_survived_as_long_as_something_arrives(remote, tmp_path):
    remote.drops = [2 * CHUNK_BYTES] * 7
    progress = Recorder()
    assert get(remote, tmp_path / "archive.zip", progress=progress).read_bytes() == CONTENT
    assert len(remote.asked) == 8
    assert progress.done[-1] == len(CONTENT)


@st.composite
def states(draw: st.DrawFn) -> dict[str, object]:
    names = draw(st.sampled_from([("ETag",), ("Last-Modified",), ("ETag", "Last-Modified"), ()]))
    version = draw(st.integers(0, len(VERSIONS) - 1))
    return state(
        version,
        names,
        honours_ranges=draw(st.booleans()),
        # Only a server that tells its versions apart may be forgiven for ignoring If-Range.
        honours_if_range=not names or draw(st.booleans()),
        announces_length=draw(st.booleans()),
        drops=[draw(st.integers(0, len(VERSIONS[version]) - 1))],
    )


@settings(max_examples=40, deadline=None)
@given(history=st.lists(states(), min_size=1, max_size=4))
@example(history=[state(1, ("ETag",)), state(2, ("ETag",), honours_if_range=False)])
@example(history=[state(1, ("ETag",)), state(2, ("Last-Modified",), honours_if_range=False)])
@example(history=[state(0, ("ETag",)), state(1, ("ETag",)), state(3, ("ETag",))])
@example(
    history=[
        state(1, ("ETag",), drops=[3 * CHUNK_BYTES]),
        state(0, ("ETag",), honours_if_range=False, announces_length=False, drops=[0]),
    ]
)
def test_versions_of_a_file_that_changes_between_tries_are_never_glued(history):
    with TemporaryDirectory() as folder, serving(Remote()) as remote:
        target = Path(folder, "archive.zip")
        for current in history:
            vars(remote).update({**current, "drops": list(current["drops"])})
            with single_try(), suppress(DataError):
                get(remote, target, expected_bytes=len(remote.content))
        # Of an answer whose length nobody told, nobody can say that its end is missing.
        remote.drops.clear()
        assert get(remote, target).read_bytes() in VERSIONS


def test_a_changed_remote_file_is_fetched_from_its_first_byte(remote, tmp_path):
    remote.drops = [500_000]
    with single_try(), pytest.raises(DataError, match="already here are kept"):
        get(remote, tmp_path / "archive.zip")
    remote.content, remote.validators = OTHER_CONTENT, {"ETag": '"2"'}
    assert get(remote, tmp_path / "archive.zip").read_bytes() == OTHER_CONTENT
    assert start_of(remote.asked[-1]) > 0
    assert remote.answered[-1] == (200, len(OTHER_CONTENT))


def test_a_server_that_ignores_ranges_is_asked_again_from_the_start(remote, tmp_path):
    remote.honours_ranges, remote.drops = False, [500_000]
    progress = Recorder()
    assert get(remote, tmp_path / "archive.zip", progress=progress).read_bytes() == CONTENT
    assert [status for status, _ in remote.answered] == [200, 200]
    assert "from its first byte again" in progress.notes[-1]


@pytest.mark.parametrize("validators", [{}, {"ETag": 'W/"1"'}])
def test_bytes_of_an_uncertain_version_are_not_continued(remote, tmp_path, validators):
    remote.validators, remote.drops = validators, [500_000]
    assert get(remote, tmp_path / "archive.zip").read_bytes() == CONTENT
    assert remote.asked == [None, None]


def test_all_bytes_here_but_not_yet_renamed_cost_no_second_download(remote, tmp_path):
    target = tmp_path / "archive.zip"
    with pytest.raises(KeyboardInterrupt):
        get(remote, target, progress=InterruptedAtTheEnd())
    assert not target.exists()
    assert get(remote, target).read_bytes() == CONTENT
    assert remote.asked == [None, f"bytes={len(CONTENT)}-"]
    assert remote.answered[-1] == (416, 0)


def test_bytes_that_cannot_get_the_name_of_the_target_stay(tmp_path):
    part = PartialFile(tmp_path / "archive.zip")
    part.path.write_bytes(CONTENT)
    (tmp_path / "archive.zip" / "in the way").mkdir(parents=True)
    with pytest.raises(StorageError):
        part.publish()
    assert part.path.read_bytes() == CONTENT


def test_more_bytes_here_than_the_remote_file_has_are_dropped(remote, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        get(remote, tmp_path / "archive.zip", progress=InterruptedAtTheEnd())
    remote.content = OTHER_CONTENT[:700_000]
    assert get(remote, tmp_path / "archive.zip").read_bytes() == OTHER_CONTENT[:700_000]


def test_a_refused_range_never_passes_for_the_end_of_the_file(remote, tmp_path):
    remote.drops, remote.statuses = [500_000], [200, 416]
    assert get(remote, tmp_path / "archive.zip").read_bytes() == CONTENT


def test_bytes_from_one_address_are_not_continued_from_another(remote, tmp_path):
    remote.drops = [500_000]
    with single_try(), pytest.raises(DataError):
        get(remote, tmp_path / "archive.zip")
    with serving(Remote(content=OTHER_CONTENT)) as mirror:
        assert get(mirror, tmp_path / "archive.zip").read_bytes() == OTHER_CONTENT


def test_a_killed_process_loses_only_what_it_had_not_received(remote, tmp_path):
    target, part = tmp_path / "archive.zip", tmp_path / "archive.zip.part"
    gate = threading.Event()
    remote.half_way = lambda: gate.wait(30)
    code = (
        "import sys; from pathlib import Path; from kvasir_prune.data.download import fetch;"
        "from kvasir_prune.progress import Silent;"
        "fetch(sys.argv[1], Path(sys.argv[2]), expected_bytes=None, progress=Silent())"
    )
    process = subprocess.Popen([sys.executable, "-c", code, remote.url, str(target)])
    wait_for(part, 4 * CHUNK_BYTES)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    gate.set()
    received = part.stat().st_size
    assert not target.exists()
    assert get(remote, target).read_bytes() == CONTENT
    assert remote.asked == [None, f"bytes={received}-"]
    assert remote.answered[-1] == (206, len(CONTENT) - received)
    assert [path.name for path in tmp_path.iterdir()] == ["archive.zip"]


def test_a_second_process_is_told_that_the_first_one_downloads(remote, tmp_path):
    second: list[Exception] = []

    def try_as_well() -> None:
        with pytest.raises(DataError, match="Another process is downloading") as raised:
            get(remote, tmp_path / "archive.zip")
        second.append(raised.value)

    remote.half_way = try_as_well
    assert get(remote, tmp_path / "archive.zip").read_bytes() == CONTENT
    assert len(second) == 1


def test_a_missing_page_is_reported_at_once_with_the_way_by_hand(remote, tmp_path):
    remote.statuses = [404]
    with pytest.raises(DataError, match="404 Not Found") as raised:
        get(remote, tmp_path / "archive.zip")
    assert f"download {remote.url} by hand and save it as {tmp_path}" in str(raised.value)
    assert remote.asked == [None]


def test_a_server_that_is_busy_for_a_moment_is_asked_again(remote, tmp_path):
    remote.statuses = [503, 429]
    assert get(remote, tmp_path / "archive.zip").read_bytes() == CONTENT


def test_a_server_that_says_nothing_counts_as_lost(remote, tmp_path):
    gate = threading.Event()
    remote.half_way = lambda: gate.wait(30)
    with single_try(), pytest.raises(DataError, match="already here are kept"):
        get(remote, tmp_path / "archive.zip", timeout_s=1.0)
    gate.set()
    assert (tmp_path / "archive.zip.part").stat().st_size > 0


@pytest.mark.parametrize("announces_length", [True, False])
def test_a_file_of_another_size_is_refused(remote, tmp_path, announces_length):
    remote.announces_length = announces_length
    progress = Recorder()
    with pytest.raises(DataError, match="another size") as raised:
        get(remote, tmp_path / "archive.zip", expected_bytes=len(CONTENT) - 1, progress=progress)
    assert sum(progress.done) == (0 if announces_length else len(CONTENT))
    assert (raised.value.got, raised.value.expected) == ("1,048,576 bytes", "1,048,575 bytes")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_a_file_is_named(remote, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="could not be saved"):
        get(remote, tmp_path / "file" / "archive.zip")


def test_a_disk_too_small_is_noticed_before_it_is_full(remote, small_disk):
    with pytest.raises(StorageError, match=r"The disk is full.* 1,048,576 more bytes"):
        get(remote, small_disk / "archive.zip")
    assert not (small_disk / "archive.zip.part").exists()


def test_a_disk_that_fills_up_on_the_way_keeps_what_arrived(remote, small_disk):
    part, full = small_disk / "archive.zip.part", small_disk / "someone_else"

    def fill_the_disk() -> None:
        wait_for(part, CHUNK_BYTES)
        with suppress(OSError), full.open("wb", buffering=0) as stream:
            while stream.write(b"x" * 4096):
                pass

    remote.content, remote.half_way = CONTENT[:400_000], fill_the_disk
    with pytest.raises(StorageError, match="The disk is full") as raised:
        get(remote, small_disk / "archive.zip")
    received = part.stat().st_size
    assert f"{400_000 - received:,} more bytes" in str(raised.value)
    full.unlink()
    remote.half_way = lambda: None
    assert get(remote, small_disk / "archive.zip").read_bytes() == CONTENT[:400_000]
    assert start_of(remote.asked[-1]) == received


def test_without_a_server_the_address_and_the_place_for_the_file_are_named(tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        nobody = Remote(url=f"http://127.0.0.1:{probe.getsockname()[1]}/archive.zip")
        with pytest.raises(DataError, match="no connection to the server") as raised:
            get(nobody, tmp_path / "archive.zip")
    by_hand = f"download {nobody.url} by hand and save it as {tmp_path / 'archive.zip'}"
    assert by_hand in str(raised.value)
    assert list(tmp_path.iterdir()) == []
