"""What is recorded becomes durable in time, and what is computed wrong is not recorded."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from kvasir_prune import backend, environment
from kvasir_prune.errors import BackendError, DeviceError, LedgerError, StorageError
from kvasir_prune.experiment.ownership import OWNER
from kvasir_prune.importance.measure import begun, measure
from kvasir_prune.importance.store import ImportanceStore
from kvasir_prune.ledger import HDF5Ledger, MemoryLedger
from kvasir_prune.ledger.committer import Committer
from kvasir_prune.pruning import Greedy, prune
from kvasir_prune.pruning.verification import check_ledger
from kvasir_prune.publish import publish_text, storage_errors_named
from kvasir_prune.types import LayerSize, LossAccuracy, Removed, Scored
from tests.cli_runs import PATIENCE_S, python
from tests.toy import ToyScorer

LAYERS = (LayerSize("a", 12), LayerSize("b", 7))
BASELINE = LossAccuracy(1.0, 0.5)


class Records:
    """Counts commits; fails at one of them."""

    def __init__(self, fails_at: int = 0) -> None:
        self.commits, self._fails_at = 0, fails_at
        self.committed = threading.Event()

    def commit(self) -> None:
        self.commits += 1
        if self.commits == self._fails_at:
            raise StorageError("full")
        self.committed.set()


def test_a_record_is_committed_while_its_maker_is_busy() -> None:
    records = Records()
    with Committer(records, 0.01) as committer:
        committer.recorded()
        assert records.committed.wait(PATIENCE_S)
        seen = records.commits
    assert records.commits == seen + 1


class SlowRecords:
    """Takes its time to commit; notices if two do at once."""

    def __init__(self) -> None:
        self.at_once, self.most, self.commits = 0, 0, 0
        self.begun = threading.Event()

    def commit(self) -> None:
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        self.begun.set()
        time.sleep(0.05)
        self.at_once -= 1
        self.commits += 1


def test_a_flush_waits_for_the_commit_under_way_and_never_works_beside_it() -> None:
    records = SlowRecords()
    with Committer(records, 0.01) as committer:
        for flushes in range(1, 11):
            records.begun.clear()
            committer.recorded()
            assert records.begun.wait(PATIENCE_S)
            committer.flush()
            assert records.commits == flushes
    assert records.most == 1


ENDING = """
import signal, threading, time
from kvasir_prune.ledger.committer import Committer

class Records:
    commits = 0
    begun = threading.Event()
    def commit(self):
        self.begun.set()
        time.sleep(1)
        self.commits += 1

# In the background of a shell it would be ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
records, main = Records(), threading.main_thread().ident
try:
    with Committer(records, 0.01) as committer:
        committer.recorded()
        records.begun.wait()
        committer.recorded()
        threading.Timer(0.1, signal.pthread_kill, (main, signal.SIGINT)).start()
except KeyboardInterrupt:
    print(records.commits)
"""


def test_a_signal_at_the_end_leaves_nothing_that_was_recorded_behind(tmp_path: Path) -> None:
    """It comes while the block waits for a commit that began before the last record."""
    done = python("-c", ENDING, cwd=tmp_path)
    assert done.out == "2\n", done.err


def test_a_commit_that_fails_is_told_at_the_next_record_or_at_the_end() -> None:
    records = Records(fails_at=1)
    with pytest.raises(StorageError), Committer(records, 0.01) as committer:
        committer.recorded()
    records = Records(fails_at=1)
    with pytest.raises(StorageError):
        _record_for_ever(records)
    assert records.commits == 1


def _record_for_ever(records: Records) -> None:
    with Committer(records, 0.01) as committer:
        while True:
            committer.recorded()


def test_zero_seconds_commit_every_record_at_once() -> None:
    records = Records()
    with Committer(records, 0.0) as committer:
        for count in (1, 2, 3):
            committer.recorded()
            assert records.commits == count


BLOCKED = """
import hashlib, os, sys
from pathlib import Path
from kvasir_prune.cli.resuming import farewell
from kvasir_prune.cli.signals import interruptible
from kvasir_prune.experiment import ownership
from kvasir_prune.ledger import HDF5Ledger
from kvasir_prune.ledger.committer import Committer
from kvasir_prune.types import LayerSize, LossAccuracy, Scored
ownership.BEAT_S = 0.001
path = Path(sys.argv[1])
ledger = HDF5Ledger(path, layers=(LayerSize("a", 9),), baseline=LossAccuracy(1.0, 0.5))
with (
    ownership.owning(path.parent),
    interruptible(farewell),
    Committer(ledger, 3600.0) as committer,
):
    ledger.record([Scored(3, 2.0, 0.5)])
    committer.recorded()
    print("recorded", flush=True)
    hashlib.pbkdf2_hmac("sha256", b"a call of hours", b"", 2**31 - 1)
"""


@pytest.mark.parametrize(
    ("numbers", "code", "words"),
    [
        ((signal.SIGTERM,), 143, "Stopped by signal 15"),
        ((signal.SIGUSR1,), 138, "Stopped by signal 10"),
        ((signal.SIGINT,), 130, "Stopped by signal 2"),
        ((signal.SIGINT, signal.SIGINT), 130, "Stopped by signal 2"),
        ((signal.SIGTERM, signal.SIGTERM), 143, "Stopped by signal 15"),
    ],
)
def test_a_signal_ends_a_process_that_is_in_one_long_call(
    tmp_path: Path, numbers: Sequence[int], code: int, words: str
) -> None:
    """The call would take hours; Python's own handler would wait for its end."""
    path = tmp_path / "pruning.h5"
    with subprocess.Popen(
        [sys.executable, "-c", BLOCKED, str(path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "recorded\n"
        assert (tmp_path / OWNER).exists()
        time.sleep(0.5)  # until it is in the call
        for number in numbers:
            process.send_signal(number)
        _, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == code
    assert words in err
    assert "To go on: kvasir-prune" in err
    assert HDF5Ledger(path).entries == (Scored(3, 2.0, 0.5),)
    assert not (tmp_path / OWNER).exists()


def loss_of(removed: frozenset[tuple[str, int]]) -> float:
    """Every third node is worth keeping."""
    return 1.0 + sum(0.01 if node % 3 else -0.02 for _, node in removed)


class Unsteady(ToyScorer):
    """Gives another loss the second time that it is asked for a node it remembers."""

    def __init__(self, wrong: int) -> None:
        super().__init__(loss_of)
        self._asked: list[tuple[Any, ...]] = []
        self._wrong = wrong

    def score(self, layer: str, removed: Any, nodes: Any, **settings: Any) -> tuple[Scored, ...]:
        scores = super().score(layer, removed, nodes, **settings)
        key = (layer, tuple(removed.get(layer, ())), *nodes)
        if key in self._asked and len(nodes) == 1:
            self._wrong -= 1
            if self._wrong == 0:
                return tuple(Scored(s.node, s.loss * (1 + 1e-15), s.accuracy) for s in scores)
        self._asked += [(*key[:2], node) for node in nodes]
        return scores


def test_a_device_that_computes_wrong_does_not_get_into_the_ledger() -> None:
    ledger = MemoryLedger(LAYERS, BASELINE)
    steps = prune(Greedy(-1e-5, None), Unsteady(wrong=2), ledger, commit_every_s=0, verify_every=2)
    with pytest.raises(DeviceError) as caught:
        for _ in steps:
            pass
    assert caught.value.exit_code == 75
    assert ledger.state.removals == 3
    for _ in prune(Greedy(-1e-5, None), ToyScorer(loss_of), ledger, commit_every_s=0):
        pass
    untouched = MemoryLedger(LAYERS, BASELINE)
    for _ in prune(Greedy(-1e-5, None), ToyScorer(loss_of), untouched, commit_every_s=0):
        pass
    assert ledger.entries == untouched.entries


def test_a_device_that_computes_wrong_does_not_get_into_the_importances(tmp_path: Path) -> None:
    def begun_at(name: str) -> ImportanceStore:
        low_high = {"low": -1e-5, "high": 1e-5}
        return begun(ToyScorer(loss_of), tmp_path / name, LAYERS, **low_high, identity={})

    store = begun_at("importance.h5")
    with pytest.raises(DeviceError, match="layer b, node 5"):
        for _ in measure(Unsteady(wrong=2), store, commit_every_s=0, verify_every=3):
            pass
    assert [one.node for one in store.measured] == [0, 1, 2, 3, 4]
    again, untouched = ImportanceStore(store.path), begun_at("untouched.h5")
    for one in (again, untouched):
        for _ in measure(ToyScorer(loss_of), one, commit_every_s=0, verify_every=3):
            pass
    assert again.measured == untouched.measured


def test_every_so_manieth_importance_is_computed_twice_whatever_the_blocks(tmp_path: Path) -> None:
    for width in (1, 2, 5, 12):
        scorer = ToyScorer(loss_of, block_width=width)
        store = begun(scorer, tmp_path / f"{width}.h5", LAYERS, low=0, high=0, identity={})
        for _ in measure(scorer, store, commit_every_s=0, verify_every=4):
            pass
        twice = [node for node in sorted(set(scorer.asked)) if scorer.asked.count(node) == 2]
        assert twice == [("a", 0), ("a", 4), ("a", 8), ("b", 3)]
        assert len(scorer.asked) == 19 + 4


def test_a_ledger_whose_last_loss_comes_out_otherwise_is_refused_with_both() -> None:
    scorer = ToyScorer(loss_of)
    whole = MemoryLedger(LAYERS, scorer.evaluate({}))
    for _ in prune(Greedy(-1e-5, None), scorer, whole, commit_every_s=0):
        pass
    check_ledger(scorer, whole)
    check_ledger(scorer, MemoryLedger(LAYERS, whole.baseline))
    *entries, last = [entry for entry in whole.entries if isinstance(entry, Removed)]
    other = Removed(last.layer, last.node, last.importance, last.loss * (1 + 1e-7), 0.5, 9)
    changed = MemoryLedger(LAYERS, whole.baseline, [*entries, other])
    with pytest.raises(LedgerError) as caught:
        check_ledger(scorer, changed)
    assert repr(last.loss) in str(caught.value)
    assert repr(other.loss) in str(caught.value)
    check_ledger(scorer, changed, tolerance=1e-6)
    with pytest.raises(LedgerError):
        check_ledger(scorer, MemoryLedger(LAYERS, LossAccuracy(1.1, 0.5)), tolerance=1e-6)


def test_variables_that_can_change_bits_are_set_back(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in environment.VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XLA_FLAGS", "--one")
    recorded = environment.found()
    assert recorded == {"XLA_FLAGS": "--one"}
    monkeypatch.setenv("XLA_FLAGS", "--another")
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
    with monkeypatch.context() as without_keras:
        without_keras.delitem(sys.modules, "keras", raising=False)
        changed = environment.restore(recorded)
    assert changed == {
        "TF_ENABLE_ONEDNN_OPTS": ("0", None),
        "XLA_FLAGS": ("--another", "--one"),
    }
    assert environment.found() == recorded
    assert environment.restore(recorded) == {}
    monkeypatch.setitem(sys.modules, "keras", sys)
    for _ in range(2):
        environment.set_xla_flags()
        assert os.environ["XLA_FLAGS"].split() == [
            "--one",
            *environment.OWN_XLA_FLAGS[backend.name()],
        ]
        assert environment.restore(recorded) == {}
    monkeypatch.setenv("XLA_FLAGS", f"{os.environ['XLA_FLAGS']} --xla_cpu_enable_fast_math=true")
    environment.set_xla_flags()
    assert os.environ["XLA_FLAGS"].split()[-1] == environment.OWN_XLA_FLAGS[backend.name()][-1]
    assert environment.found() == {"XLA_FLAGS": "--one --xla_cpu_enable_fast_math=true"}
    monkeypatch.setenv("XLA_FLAGS", "--one")
    with pytest.raises(BackendError, match="in a new process") as refused:
        environment.restore({**recorded, "OMP_NUM_THREADS": "7"})
    assert refused.value.where == "environment variable OMP_NUM_THREADS"


def test_the_processor_is_told_apart_by_what_chooses_kernels(tmp_path: Path) -> None:
    facts = tmp_path / "cpuinfo"
    facts.write_text("processor\t: 0\nmodel name\t: X 9000\nflags\t\t: fpu avx2 fma avx512f\n")
    assert environment.processor(facts) == "CPU X 9000 (avx2 fma avx512f)"
    facts.write_text("CPU implementer\t: 0x41\nCPU part\t: 0xd40\nFeatures\t: asimd sve\n")
    assert environment.processor(facts) == "CPU 0x41 0xd40 (asimd sve)"
    assert environment.processor(tmp_path / "missing").startswith("CPU ")


def test_an_error_of_the_file_system_is_a_sentence_that_says_what_helps(tmp_path: Path) -> None:
    with pytest.raises(StorageError) as caught:
        publish_text(tmp_path / "missing" / "file", "text")
    assert caught.value.exit_code == 74
    assert isinstance(caught.value.__cause__, OSError)
    assert caught.value.__cause__.errno == errno.ENOENT


@pytest.mark.parametrize(
    ("number", "help_"), [(errno.EDQUOT, "your quota"), (errno.ENOSPC, "room"), (errno.EIO, "mend")]
)
def test_what_helps_depends_on_the_error_of_the_file_system(number: int, help_: str) -> None:
    with pytest.raises(StorageError, match=help_), storage_errors_named(Path("run.json")):
        raise OSError(number, os.strerror(number))
