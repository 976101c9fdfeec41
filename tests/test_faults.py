"""Faults of the machine in a whole run: what is told, and that nothing is lost or different."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

import h5py
import pytest

from kvasir_prune.experiment import ownership, tensorboard
from kvasir_prune.experiment.ownership import OWNER
from kvasir_prune.experiment.tensorboard import EventLog
from kvasir_prune.interruption import Signalled
from kvasir_prune.ledger import run_record
from kvasir_prune.standard_error import withheld
from kvasir_prune.types import LossAccuracy
from tests.cli_runs import (
    AFTER_IMPORTANCE,
    AFTER_LEDGER,
    PATIENCE_S,
    RUN,
    Server,
    assert_same_results,
    call,
    contents,
    copy_of,
    environment,
    running,
    until,
    write_config,
)
from tests.file_systems import mount, read_only, small_disk, unmount

FAILING = """
import os, pathlib
from kvasir_prune.cli import supervisor
from kvasir_prune.importance import exact
supervisor.PAUSE_S = 0.1
marks, whole, calls = pathlib.Path(os.environ["MARKS"]), exact.ExactScorer._run_once, 0
def run_once(self, *arguments, **more):
    global calls
    calls += 1
    left = sorted(marks.iterdir())
    if left and calls == 8:
        left[0].unlink()
        if left[0].name.endswith("abort"):
            os.abort()
        import tensorflow as tf
        raise tf.errors.InternalError(None, None, "CUDA_ERROR_ILLEGAL_ADDRESS")
    return whole(self, *arguments, **more)
exact.ExactScorer._run_once = run_once
"""
"""A device that fails in the 8th call of a process, once for every file in a folder."""


def failing_device(folder: Path, *kinds: str) -> dict[str, str]:
    """Return the environment of commands whose device fails so often."""
    marks = folder / "marks"
    marks.mkdir()
    for number, kind in enumerate(kinds):
        (marks / f"{number}-{kind}").touch()
    (folder / "sitecustomize.py").write_text(FAILING)
    paths = (str(folder), os.environ.get("PYTHONPATH", ""))
    return {"MARKS": str(marks), "PYTHONPATH": os.pathsep.join(filter(None, paths))}


@pytest.mark.slow
def test_a_device_that_fails_ends_the_run_with_75_and_the_next_goes_on(
    finished: Path, tmp_path: Path, server: Server
) -> None:
    run = copy_of(finished, tmp_path, *AFTER_IMPORTANCE)
    done = call(*RUN, cwd=tmp_path, **failing_device(tmp_path, "error"))
    assert done.code == 75, done.err
    for words in ("The device or its driver failed", "ILLEGAL_ADDRESS", "To go on: ", "--retries"):
        assert words in done.err
    assert "Traceback" not in done.err
    assert not (run / "pruned.keras").exists()
    assert server.call("status", "run", cwd=tmp_path).succeeded().out
    server.call(*RUN, cwd=tmp_path).succeeded()
    assert_same_results(run, finished / "run")


@pytest.mark.slow
def test_retries_go_on_in_fresh_processes_after_an_error_and_after_a_crash(
    finished: Path, tmp_path: Path
) -> None:
    run = copy_of(finished, tmp_path, *AFTER_IMPORTANCE)
    device = failing_device(tmp_path, "error", "abort")
    done = call(*RUN, "--retries", "2", cwd=tmp_path, **device).succeeded()
    assert "retry 1 of 2" in done.err
    assert "retry 2 of 2" in done.err
    assert "To go on: kvasir-prune run config.yaml --run-dir run --retries 2" in done.err
    assert_same_results(run, finished / "run")


def test_another_device_is_refused_and_can_be_accepted(
    finished: Path, tmp_path: Path, server: Server
) -> None:
    run = copy_of(finished, tmp_path, *AFTER_LEDGER)
    record = run_record.read(run / "run.json")
    assert record is not None
    own = record["devices"][-1]["device"]
    gone = {"device": "GPU Quadro P4000", "since": record["created"]}
    run_record.write(run / "run.json", {**record, "devices": [gone]})
    done = server.call(*RUN, cwd=tmp_path)
    assert (done.code, "the backend finds none" in done.err) == (75, True)
    other = {"device": "CPU Another (avx2)", "since": record["created"]}
    run_record.write(run / "run.json", {**record, "devices": [other]})
    before = contents(run)
    server.call(*RUN, cwd=tmp_path).refused(
        "another device", own, "CPU Another (avx2)", "--accept-device-change", "--run-dir"
    )
    del before["config.yaml"]
    assert {name: facts for name, facts in contents(run).items() if name in before} == before
    server.call(*RUN, "--accept-device-change", cwd=tmp_path).succeeded()
    record = run_record.read(run / "run.json")
    assert record is not None
    assert [entry["device"] for entry in record["devices"]] == ["CPU Another (avx2)", own]
    devices = json.loads((run / "report" / "report.json").read_text())["provenance"]["devices"]
    assert devices == ["CPU Another (avx2)", own]


@pytest.mark.slow
def test_flags_that_can_change_bits_are_those_of_the_first_start(
    finished: Path, tmp_path: Path
) -> None:
    run = copy_of(finished, tmp_path, *AFTER_IMPORTANCE)
    done = call(*RUN, cwd=tmp_path, TF_ENABLE_ONEDNN_OPTS="0", ONEDNN_MAX_CPU_ISA="SSE41")
    assert "TF_ENABLE_ONEDNN_OPTS is set to the run's own value" in done.succeeded().err
    assert_same_results(run, finished / "run")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["images.npy", "images.csv", "SHA256SUMS"])
def test_a_damaged_image_cache_is_made_anew(
    finished: Path, tmp_path: Path, server: Server, name: str
) -> None:
    run = copy_of(finished, tmp_path, *AFTER_LEDGER)
    content = bytearray((run / "cache" / name).read_bytes())
    content[len(content) // 2] ^= 1
    (run / "cache" / name).write_bytes(content)
    done = server.call(*RUN, cwd=tmp_path).succeeded()
    assert "The image cache is damaged" in done.err
    assert_same_results(run, finished / "run")


@pytest.mark.slow
def test_a_full_disk_loses_nothing(finished: Path, tmp_path: Path, server: Server) -> None:
    with small_disk(tmp_path, "32m") as disk:
        run = copy_of(finished, disk, *AFTER_IMPORTANCE)
        room = shutil.disk_usage(disk).free - 40_000
        (disk / "filler").write_bytes(bytes(room))
        done = server.call(*RUN, cwd=disk)
        assert done.code == 74, done.err
        for words in ("refused to write", "No space left on device", "free some room", "To go on"):
            assert words in done.err
        assert "Traceback" not in done.err
        if (run / "pruning.h5").exists():
            server.call("status", "run", cwd=disk).succeeded()
        with suppress(OSError), (disk / "filler").open("ab", buffering=0) as stream:
            while stream.write(bytes(512)):
                pass
        again = server.call(*RUN, cwd=disk)
        assert again.code == 74, again.err
        assert "No space left on device" in again.err
        (disk / "filler").unlink()
        server.call(*RUN, cwd=disk).succeeded()
        assert_same_results(run, finished / "run")


@contextmanager
def folder_with_quota(folder: Path) -> Iterator[tuple[Path, Callable[[int], None]]]:
    """Give a folder of a real Btrfs and what limits its bytes; skip where that cannot be had."""
    if shutil.which("mkfs.btrfs") is None or os.geteuid() != 0:
        pytest.skip("a quota needs root and btrfs-progs")
    image, place = folder / "btrfs.img", folder / "btrfs"
    place.mkdir()
    image.touch()
    os.truncate(image, 2**28)
    subprocess.run(["mkfs.btrfs", "-q", str(image)], check=True)
    mount("-o", "loop", image, place)
    own = place / "own"

    def limit(size: int) -> None:
        subprocess.run(["btrfs", "qgroup", "limit", str(size), str(own)], check=True)

    try:
        subprocess.run(["btrfs", "-q", "quota", "enable", str(place)], check=True)
        subprocess.run(["btrfs", "-q", "subvolume", "create", str(own)], check=True)
        yield own, limit
    finally:
        unmount(place)


@pytest.mark.slow
def test_a_quota_loses_nothing(finished: Path, tmp_path: Path, server: Server) -> None:
    with folder_with_quota(tmp_path) as (own, limit):
        run = copy_of(finished, own, *AFTER_IMPORTANCE)
        os.sync()
        limit(sum(file.stat().st_size for file in own.rglob("*")) + 2**17)
        done = server.call(*RUN, cwd=own)
        assert done.code == 74, done.err
        for words in ("refused to write", "Disk quota exceeded", "your quota", "To go on"):
            assert words in done.err
        assert "Traceback" not in done.err
        server.call("status", "run", cwd=own).succeeded()
        limit(2**27)
        server.call(*RUN, cwd=own).succeeded()
        assert_same_results(run, finished / "run")


@pytest.mark.slow
def test_a_disk_that_has_no_room_for_the_images_is_told(
    finished: Path, tmp_path: Path, server: Server
) -> None:
    with small_disk(tmp_path, "200k") as disk:
        shutil.copy2(finished / "config.yaml", disk)
        settings = ("--set", "model.input_side_px=48")
        done = server.call("data", *RUN[1:], *settings, cwd=disk)
        assert done.code == 74, done.err
        assert "images.npy" in done.err
        assert "No space left on device" in done.err


@pytest.mark.slow
def test_a_disk_that_becomes_read_only_is_told(
    finished: Path, tmp_path: Path, server: Server
) -> None:
    with small_disk(tmp_path, "64m") as disk:
        run = copy_of(finished, disk, *AFTER_IMPORTANCE)
        with running(*RUN, cwd=disk) as process:
            until((run / "pruning.h5").exists, process)
            with read_only(run):
                _, err = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 74, err
        assert "Read-only file system" in err
        server.call(*RUN, cwd=disk).succeeded()
        assert_same_results(run, finished / "run")


def elsewhere(run: Path, beat: int) -> None:
    facts = {"process": 4711, "host": f"not-{socket.gethostname()}", "owner": "x", "beat": beat}
    (run / OWNER).write_text(json.dumps(facts))


@pytest.mark.parametrize("stumbles", [False, True])
def test_an_owner_on_another_host_is_respected_while_its_heart_beats(
    finished: Path, tmp_path: Path, server: Server, *, stumbles: bool
) -> None:
    """Also where the file system cannot read half of what it says, the first of it among that."""
    run, over = copy_of(finished, tmp_path), threading.Event()
    elsewhere(run, 0)
    if stumbles:
        (run / OWNER).write_text("")

    def beat() -> None:
        number = 0
        while not over.wait(0.7):
            elsewhere(run, number := number + 1)
            if stumbles and not over.wait(0.7):
                (run / OWNER).write_text("")

    heart = threading.Thread(target=beat)
    heart.start()
    try:
        server.call(*RUN, cwd=tmp_path).refused(
            "Another process is working", "process 4711", f"not-{socket.gethostname()}"
        )
    finally:
        over.set()
        heart.join()


def test_the_place_of_a_silent_owner_on_another_host_is_taken(
    finished: Path, tmp_path: Path, server: Server
) -> None:
    run = copy_of(finished, tmp_path)
    elsewhere(run, 7)
    server.call(*RUN, cwd=tmp_path).succeeded()
    assert not (run / OWNER).exists()


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
@pytest.mark.parametrize("host", [socket.gethostname(), "another"])
def test_without_locks_of_the_file_system_a_killed_owner_does_not_shut_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: str, number: int
) -> None:
    """Its lock must not be a file, nor the number of its process, which another may have by now."""

    def no_locks(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    facts = {"process": os.getppid(), "host": host, "owner": "x", "beat": 3}
    (tmp_path / OWNER).write_text(json.dumps(facts))
    (tmp_path / ".lock").write_text(f"{os.getppid()}\n{host}\n")
    monkeypatch.setattr(fcntl, "flock", no_locks)
    monkeypatch.setattr(ownership, "SILENT_S", 1.0)
    for _ in range(2):
        with ownership.owning(tmp_path):
            assert json.loads((tmp_path / OWNER).read_text())["process"] == os.getpid()


@pytest.mark.slow
def test_a_file_system_without_locks_suffices(finished: Path, tmp_path: Path) -> None:
    """HDF5 asks the C library for its locks, so that is where there are none."""
    if shutil.which("gcc") is None:
        pytest.skip("a library without locks needs a C compiler")
    source, library = tmp_path / "flock.c", tmp_path / "flock.so"
    source.write_text(
        "#include <errno.h>\nint flock(int file, int how) { errno = ENOLCK; return -1; }\n"
    )
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", library, source], check=True)
    run = copy_of(finished, tmp_path, *AFTER_IMPORTANCE, "cache")
    call(*RUN, cwd=tmp_path, LD_PRELOAD=str(library)).succeeded()
    assert_same_results(run, finished / "run")


@pytest.mark.parametrize(
    ("fault", "code", "words"),
    [("vanished", 74, "has vanished"), ("stumbles", 0, "")],
)
def test_a_heart_beats_on_when_the_file_system_stumbles_and_stops_when_it_is_gone(
    tmp_path: Path, fault: str, code: int, words: str
) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    holder = """
import os, sys, time
from pathlib import Path
from kvasir_prune.experiment import ownership, tensorboard
ownership.BEAT_S = 0.1
folder, fault = Path(sys.argv[1]), sys.argv[2]
with ownership.owning(folder):
    owner = folder / ownership.OWNER
    if fault == "vanished":
        folder.rename(folder.with_name("away"))
        time.sleep(60)
    content = owner.read_bytes()
    owner.write_bytes(b"half of it")
    time.sleep(1)
    owner.write_bytes(content)
    time.sleep(1)
    sys.exit(0 if owner.read_bytes() != content else 1)
"""
    done = subprocess.run(
        [sys.executable, "-c", holder, str(folder), fault],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == code, done.stderr
    assert words in done.stderr


def test_an_owner_that_was_replaced_stops(tmp_path: Path) -> None:
    """A machine that slept so long that another took its place must not go on writing."""
    write_config(tmp_path, {"training.max_epochs": 100_000})
    run = tmp_path / "run"
    with running(*RUN, cwd=tmp_path) as process:
        until((run / "training" / "checkpoint.h5").exists, process)
        elsewhere(run, 1)
        _, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 2, err
    assert "Another process is working in this run folder" in err
    assert f"process 4711 on not-{socket.gethostname()}" in err
    assert json.loads((run / OWNER).read_text())["owner"] == "x"


KERAS_THAT_HANGS = """
import hashlib, pathlib, sys
print("chatter", file=sys.stderr)
pathlib.Path("loading").touch()
hashlib.pbkdf2_hmac("sha256", b"a file system that does not answer", b"", 2**31 - 1)
"""


@pytest.mark.parametrize("how", ["replaced", "signal"])
def test_the_end_of_a_process_is_told_while_its_libraries_load(tmp_path: Path, how: str) -> None:
    """What they write is withheld; what other threads say before they end the process is not."""
    (tmp_path / "keras.py").write_text(KERAS_THAT_HANGS)
    write_config(tmp_path, {})
    with running(*RUN, cwd=tmp_path) as process:
        until((tmp_path / "loading").exists, process)
        if how == "replaced":
            elsewhere(tmp_path / "run", 1)
        else:
            process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=PATIENCE_S)
    code, words = {
        "replaced": (2, f"process 4711 on not-{socket.gethostname()}"),
        "signal": (143, "Stopped by signal 15"),
    }[how]
    assert process.returncode == code, err
    assert words in err
    assert "chatter" not in err


@pytest.mark.parametrize(
    ("end", "shown"),
    [
        (ImportError("a broken library"), b"chatter"),
        (SystemExit(1), b"chatter"),
        (Signalled(signal.SIGTERM), b""),
        (None, b""),
    ],
)
def test_what_libraries_write_while_they_load_is_shown_if_they_fail_and_not_at_a_signal(
    capfdbinary: pytest.CaptureFixture[bytes], end: BaseException | None, shown: bytes
) -> None:
    """A signal may also come between two lines of theirs that Python runs."""
    with pytest.raises(type(end)) if end else nullcontext(), withheld():
        os.write(2, b"chatter")
        if end:
            raise end
    assert capfdbinary.readouterr().err == shown


def test_every_commit_has_a_line_and_every_removal_a_point(finished: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.util.tensor_util import make_ndarray

    run = finished / "run"
    lines = [line.split() for line in (run / "run.log").read_text().splitlines()]
    names = {line[1] for line in lines}
    assert names >= {"importance.h5", "pruning.h5", "checkpoint.h5", "split.csv", "report.json"}
    assert all(float(word.split("=")[1]) >= 0 for line in lines for word in line[2:4])
    last = [
        dict(word.split("=") for word in line[2:]) for line in lines if line[1] == "pruning.h5"
    ][-1]
    with h5py.File(run / "pruning.h5") as file:
        removed: Any = file["removed"][()]
        evaluations = int(file["layers"]["evaluations"].max())
    assert int(last["removed"]) == len(removed)
    assert int(last["evaluations"]) == evaluations
    assert float(last["sync_ms"]) > 0
    events = EventAccumulator(str(run / "tensorboard"), size_guidance={"tensors": 0})
    events.Reload()
    shown = {e.step: float(make_ndarray(e.tensor_proto)) for e in events.Tensors("pruning/loss")}
    assert sorted(shown) == list(range(len(removed) + 1))
    assert [shown[n + 1] for n in range(len(removed))] == pytest.approx(removed["loss"], rel=1e-6)
    gone = {e.step: float(make_ndarray(e.tensor_proto)) for e in events.Tensors("pruning/removed")}
    steps = [0, *removed["evaluations"].tolist()]
    assert gone == dict(zip(steps, range(len(removed) + 1), strict=True))


def test_removals_are_shown_while_pruning_lasts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    monkeypatch.setattr(tensorboard, "SHOW_EVERY_S", 0.0)
    with EventLog(tmp_path) as events:
        for removed in range(3):
            events.removal(removed, LossAccuracy(1.0, 0.5), 10 * removed)
        events.show()
        shown = EventAccumulator(str(tmp_path))
        shown.Reload()
        assert [event.step for event in shown.Tensors("pruning/removed")] == [0, 10, 20]


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_watching_a_finished_run_shows_it_and_ends(
    finished: Path, tmp_path: Path, server: Server, options: tuple[str, ...]
) -> None:
    done = server.call("status", finished / "run", "--watch", *options, cwd=tmp_path).succeeded()
    assert "finished" in done.out
    if options:
        (line,) = done.out.splitlines()
        assert json.loads(line)["stage"] == "finished"
