"""One contract for every ledger; the HDF5 file against damage of every kind."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kvasir_prune.errors import LedgerError
from kvasir_prune.ledger import HDF5Ledger, Ledger, MemoryLedger
from kvasir_prune.ledger.hdf5_file import check_seal, seal
from kvasir_prune.ledger.recovery import go_back, needs_the_commit_before
from kvasir_prune.publish import previous
from kvasir_prune.types import (
    Entry,
    Halved,
    Ignored,
    LayerFinished,
    LayerSize,
    LossAccuracy,
    Removed,
    Scored,
)

LAYERS = (LayerSize("fc2", 5), LayerSize("fc1", 4))
BASELINE = LossAccuracy(0.75, 0.5)
STORY: tuple[Entry, ...] = (
    Scored(0, 0.8, 0.5),
    Removed(0, 1, 0.05, 0.7, 0.6, 2),
    Ignored(0, 0, -0.3, 3),
    Scored(2, 0.71, 0.6),
    Halved(0, 4),
    LayerFinished(0, 4),
    Ignored(1, 3, -0.4, 5, is_bound=True),
    Scored(0, 0.9, 0.5, is_bound=True),
    Halved(1, 6),
    Scored(1, 1 / 3, 2 / 3),
)
SCORES = (STORY[-3], STORY[-1])
KEPT = tuple(entry for entry in STORY if not isinstance(entry, Scored)) + SCORES

Maker = Callable[[Path], Ledger]


def memory(_: Path) -> Ledger:
    return MemoryLedger(LAYERS, BASELINE)


def hdf5(folder: Path) -> Ledger:
    return HDF5Ledger(
        folder / "pruning.h5", layers=LAYERS, baseline=BASELINE, identity={"config": "abc"}
    )


makers = pytest.mark.parametrize("make", [memory, hdf5])


@makers
def test_entries_are_events_then_the_scores_since_the_last(make: Maker, tmp_path: Path) -> None:
    ledger = make(tmp_path)
    ledger.record(STORY)
    ledger.commit()
    assert ledger.entries == KEPT
    assert (ledger.layers, ledger.baseline) == (LAYERS, BASELINE)


@makers
def test_state_is_the_fold_of_the_story(make: Maker, tmp_path: Path) -> None:
    ledger = make(tmp_path)
    ledger.record(STORY)
    state = ledger.state
    assert state.layer == 1
    assert state.current == LossAccuracy(0.7, 0.6)
    assert state.removed == ((1,), ())
    assert state.removed_by_name() == {"fc2": (1,)}
    assert state.ignored == {3}
    assert state.looked_at == {0, 1, 3}
    assert state.scores == SCORES
    assert state.halvings == 1
    assert (state.evaluations, state.evaluations_before) == (7, 4)
    assert not state.finished


@makers
def test_recording_in_pieces_is_recording_at_once(make: Maker, tmp_path: Path) -> None:
    at_once = memory(tmp_path)
    at_once.record(STORY)
    ledger = make(tmp_path)
    for entry in STORY:
        ledger.record([entry])
        ledger.commit()
    assert ledger.entries == at_once.entries
    assert ledger.state == at_once.state


def test_reopening_gives_the_same_bits(tmp_path: Path) -> None:
    ledger = hdf5(tmp_path)
    ledger.record(STORY)
    ledger.commit()
    again = HDF5Ledger(tmp_path / "pruning.h5")
    assert again.entries == KEPT
    assert again.state == ledger.state
    assert (again.layers, again.baseline, again.identity) == (LAYERS, BASELINE, {"config": "abc"})


def test_what_is_not_committed_is_not_in_the_file(tmp_path: Path) -> None:
    ledger = hdf5(tmp_path)
    ledger.record(STORY[:2])
    ledger.commit()
    ledger.record(STORY[2:])
    assert HDF5Ledger(tmp_path / "pruning.h5").entries == STORY[1:2]


finite = st.floats(allow_nan=False, allow_infinity=False)
events = st.one_of(
    st.builds(Scored, st.integers(0, 4), finite, finite, st.booleans()),
    st.builds(Removed, st.just(0), st.integers(0, 4), finite, finite, finite, st.integers(0, 99)),
    st.builds(Ignored, st.just(0), st.integers(0, 4), finite, st.integers(0, 99), st.booleans()),
    st.builds(Halved, st.just(0), st.integers(0, 99)),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(st.lists(events, max_size=12), st.sampled_from([0, 1, 2]), st.lists(events, max_size=3))
def test_any_history_survives_the_file(
    tmp_path: Path, history: Sequence[Entry], finished: int, more: Sequence[Entry]
) -> None:
    """Also histories in which layers end right after each other, without an event."""
    ends = [LayerFinished(number, 7) for number in range(finished)]
    scores = [entry for entry in more if isinstance(entry, Scored)]
    (tmp_path / "pruning.h5").unlink(missing_ok=True)
    ledger = hdf5(tmp_path)
    ledger.record([*history, *ends, *(scores if finished < 2 else [])])
    ledger.commit()
    again = HDF5Ledger(tmp_path / "pruning.h5")
    assert again.entries == ledger.entries
    assert again.state == ledger.state


def test_the_layout_that_readers_rely_on(tmp_path: Path) -> None:
    ledger = hdf5(tmp_path)
    ledger.record(STORY)
    assert isinstance(ledger, HDF5Ledger)
    ledger.record_evolution([(0, -1, "train", 0.1, 0.9), (1, 0, "test", 0.2, 0.8)])
    with h5py.File(tmp_path / "pruning.h5") as file:
        assert file.attrs["schema_version"] == 3
        assert file.attrs["config"] == "abc"
        assert [name.decode() for name in file["layers"]["name"]] == ["fc2", "fc1"]
        assert file["layers"]["nodes"].tolist() == [5, 4]
        assert float(file["baseline"]["loss"]) == 0.75
        assert file["removed"].dtype["loss"] == np.float64
        assert file["removed"]["seq"].tolist() == [0]
        assert file["removed"]["evaluations"].tolist() == [2]
        assert file["ignored"]["seq"].tolist() == [1, 3]
        assert file["halved"]["seq"].tolist() == [2, 4]
        assert file["ignored"]["is_bound"].tolist() == [False, True]
        assert file["scores"]["node"].tolist() == [0, 1]
        assert file["evolution"]["removed"].tolist() == [0, 1]


def committed(folder: Path) -> Path:
    ledger = hdf5(folder)
    ledger.record(STORY)
    ledger.commit()
    return folder / "pruning.h5"


def test_a_reader_beside_a_writer_reads_one_commit_whole(tmp_path: Path) -> None:
    """Commits follow one another so fast that some fall into every read."""
    path, over = committed(tmp_path), threading.Event()
    commits = {KEPT: tmp_path / "one.h5"}
    shutil.copy(path, commits[KEPT])
    ledger = HDF5Ledger(path)
    ledger.record([Scored(2, 0.9, 0.5)])
    ledger.commit()
    commits[ledger.entries] = tmp_path / "other.h5"
    shutil.copy(path, commits[ledger.entries])

    def write() -> None:
        while not over.is_set():
            for commit in commits.values():
                os.link(commit, tmp_path / "new")
                (tmp_path / "new").replace(path)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        seen = {HDF5Ledger(path).entries for _ in range(200)}
    finally:
        over.set()
        writer.join()
    assert seen == set(commits)


@pytest.mark.parametrize("keep", [0.0, 0.1, 0.5, 0.95])
def test_a_file_cut_short_is_refused_and_kept(tmp_path: Path, keep: float) -> None:
    path = committed(tmp_path)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * keep)])
    before = path.read_bytes()
    with pytest.raises(LedgerError) as caught:
        HDF5Ledger(path)
    assert str(path) in str(caught.value.where)
    assert path.read_bytes() == before


@pytest.mark.parametrize("table", ["removed", "ignored", "scores", "layers"])
def test_a_flipped_bit_in_a_row_is_noticed(tmp_path: Path, table: str) -> None:
    path = committed(tmp_path)
    with h5py.File(path) as file:
        start = file[table].id.get_offset()
    content = bytearray(path.read_bytes())
    content[start + 5] ^= 0b100
    path.write_bytes(content)
    with pytest.raises(LedgerError, match="digest"):
        HDF5Ledger(path)
    seal(path)
    with pytest.raises(LedgerError, match="checksum"):
        HDF5Ledger(path)


def test_a_missing_event_is_noticed(tmp_path: Path) -> None:
    path = committed(tmp_path)
    with h5py.File(path, "a") as file:
        rows = file["removed"][()]
        del file["removed"]
        file.create_dataset("removed", data=rows[:0])
    seal(path)
    with pytest.raises(LedgerError, match="gaps"):
        HDF5Ledger(path)


def test_a_missing_table_and_another_version_are_refused(tmp_path: Path) -> None:
    path = committed(tmp_path)
    with h5py.File(path, "a") as file:
        del file["ignored"]
    seal(path)
    with pytest.raises(LedgerError, match="missing"):
        HDF5Ledger(path)
    with h5py.File(path, "a") as file:
        file.attrs["schema_version"] = 99
    seal(path)
    with pytest.raises(LedgerError, match="another version"):
        HDF5Ledger(path)


def test_a_damaged_file_gives_way_to_the_commit_before_it_and_is_kept(tmp_path: Path) -> None:
    path = committed(tmp_path)
    assert not needs_the_commit_before(path, check_seal)
    ledger = HDF5Ledger(path)
    ledger.record([LayerFinished(1, 8)])
    ledger.commit()
    assert not needs_the_commit_before(path, check_seal)
    damaged = path.read_bytes()[:-1]
    for number in (1, 2):
        path.write_bytes(damaged)
        assert needs_the_commit_before(path, check_seal)
        assert f"is damaged and kept as pruning.damaged-{number}.h5" in go_back(path)
        assert (tmp_path / f"pruning.damaged-{number}.h5").read_bytes() == damaged
        assert HDF5Ledger(path).entries == KEPT
    path.unlink()
    assert needs_the_commit_before(path, check_seal)
    assert "pruning.h5 is gone" in go_back(path)
    assert HDF5Ledger(path).entries == KEPT
    previous(path).write_bytes(damaged)
    path.write_bytes(damaged)
    with pytest.raises(LedgerError, match=r"pruning\.h5"):
        needs_the_commit_before(path, check_seal)
    assert path.read_bytes() == damaged
    path.unlink()
    with pytest.raises(LedgerError, match=r"pruning\.previous\.h5"):
        needs_the_commit_before(path, check_seal)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(st.integers(0, 10**6), st.integers(0, 7), st.sampled_from(["flip", "zero", "cut"]))
def test_no_damage_is_silent(tmp_path: Path, place: int, bit: int, kind: str) -> None:
    path = tmp_path / "pruning.h5"
    if not path.exists():
        (tmp_path / "whole").write_bytes(committed(tmp_path).read_bytes())
    whole = (tmp_path / "whole").read_bytes()
    content, place = bytearray(whole), place % len(whole)
    if kind == "flip":
        content[place] ^= 1 << bit
    elif kind == "zero":
        page = place // 512 * 512
        content[page : page + 512] = bytes(len(content[page : page + 512]))
    else:
        del content[place:]
    path.write_bytes(content)
    if bytes(content) == whole:
        assert HDF5Ledger(path).entries == KEPT
        return
    with pytest.raises(LedgerError):
        HDF5Ledger(path)


def test_a_history_interrupted_in_the_middle_of_recording_is_whole(tmp_path: Path) -> None:
    """A group of removals stands in the ledger whole or not at all, whatever a signal does."""

    def interrupted() -> Iterator[Entry]:
        yield STORY[1]
        raise KeyboardInterrupt

    for ledger in (memory(tmp_path), hdf5(tmp_path)):
        ledger.record(STORY[:1])
        with pytest.raises(KeyboardInterrupt):
            ledger.record(interrupted())
        assert ledger.entries == STORY[:1]
        ledger.record(STORY[1:])
        assert ledger.entries == KEPT


WRITER = """
import sys
from pathlib import Path
from kvasir_prune.ledger import HDF5Ledger
from kvasir_prune.types import Ignored, LayerSize, LossAccuracy
nodes = 100_000
ledger = HDF5Ledger(
    Path(sys.argv[1]), layers=(LayerSize("a", nodes),), baseline=LossAccuracy(1.0, 0.5)
)
for node in range(nodes):
    ledger.record([Ignored(0, node, -1.0, node + 1)])
    ledger.commit()
    print(node, flush=True)
"""


@pytest.mark.parametrize("wait_for", [1, 7, 40])
def test_killed_at_any_moment_the_file_is_whole(tmp_path: Path, wait_for: int) -> None:
    """A real SIGKILL: nothing acknowledged is lost, at most the commit under way is there too."""
    path = tmp_path / "pruning.h5"
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if int(line) >= wait_for:
                break
        time.sleep(wait_for % 3 * 0.004)
        process.kill()
        acknowledged = [int(line), *(int(more) for more in process.stdout if more.endswith("\n"))]
    found = HDF5Ledger(path).entries
    assert len(found) in (acknowledged[-1] + 1, acknowledged[-1] + 2)
    assert found == tuple(Ignored(0, n, -1.0, n + 1) for n in range(len(found)))
