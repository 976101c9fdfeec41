"""What a run folder refuses, and that refusing it touches nothing."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest

import kvasir_prune
from kvasir_prune.backend.installed import code_digest
from kvasir_prune.ledger import run_record
from kvasir_prune.ledger.hdf5_file import seal
from kvasir_prune.ledger.identity import origin
from tests.cli_runs import (
    AFTER_IMPORTANCE,
    AFTER_LEDGER,
    AFTER_TRAINING,
    PATIENCE_S,
    RUN,
    Outcome,
    Server,
    assert_same_results,
    change_weights,
    contents,
    copy_of,
    environment,
    running,
    until,
    write_config,
)


@pytest.mark.parametrize("name", ["run", "report", "train"])
def test_another_configuration_is_refused_key_by_key(
    finished: Path, tmp_path: Path, server: Server, name: str
) -> None:
    run = copy_of(finished, tmp_path)
    write_config(
        tmp_path,
        {
            "seed": 7,
            "training.max_epochs": 4,
            "training.optimizer": {"name": "sgd"},
            "pruning.layers": ["dense1"],
            "evaluation.every_removals": 30,
        },
    )
    before = contents(run)
    sentence = server.call(name, *RUN[1:], cwd=tmp_path).refused("another configuration", "run")
    lines = {line.strip() for line in sentence.splitlines()}
    assert lines >= {
        "- seed: it has 0, now it is 7",
        "- training.max_epochs: it has 3, now it is 4",
        "- training.optimizer.name: it has 'adam', now it is 'sgd'",
        "- training.optimizer.beta_1: it has 0.9, now it is None",
        "- training.optimizer.nesterov: it has None, now it is False",
        "- pruning.layers: it has None, now it is ['dense1']",
        "- evaluation.every_removals: it has 20, now it is 30",
    }
    assert not any(line.startswith(("- name", "- model", "- data")) for line in lines)
    assert "--run-dir" in sentence
    assert contents(run) == before


COSMETIC = {
    "name": "another_name",
    "description": "other words",
    "evaluation.latency_s": 0.001,
    "pruning.commit_every_s": 0.0,
    "runtime.threads": None,
}


def test_cosmetic_differences_pass_at_the_end(
    finished: Path, tmp_path: Path, server: Server
) -> None:
    run = copy_of(finished, tmp_path)
    write_config(tmp_path, COSMETIC)
    before = contents(run)
    assert "The run is finished" in server.call(*RUN, cwd=tmp_path).succeeded().err
    assert contents(run) == before


@pytest.mark.slow
def test_cosmetic_differences_pass_on_the_way_and_change_no_removal(
    finished: Path, tmp_path: Path, server: Server
) -> None:
    run = copy_of(finished, tmp_path, *AFTER_IMPORTANCE)
    threads = run_record.read(run / "run.json")["threads"]
    write_config(tmp_path, {**COSMETIC, "runtime.threads": threads + 1})
    done = server.call(*RUN, cwd=tmp_path).succeeded()
    assert f"runtime.threads is the run's own: {threads}, not {threads + 1}" in done.err
    with h5py.File(run / "pruning.h5") as new, h5py.File(finished / "run" / "pruning.h5") as old:
        for table in ("removed", "evolution"):
            assert new[table][()].tobytes() == old[table][()].tobytes()


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="this system does not tell")
def test_a_run_has_the_threads_that_it_may_use(tmp_path: Path, server: Server) -> None:
    write_config(tmp_path, {"runtime.threads": None})
    server.call("data", *RUN[1:], cwd=tmp_path).succeeded()
    record = run_record.read(tmp_path / "run" / "run.json")
    assert record is not None
    assert record["threads"] == len(os.sched_getaffinity(0))


def test_another_set_of_versions_is_refused(finished: Path, tmp_path: Path, server: Server) -> None:
    run = copy_of(finished, tmp_path, *AFTER_LEDGER)
    record = run_record.read(run / "run.json")
    assert record is not None
    record["versions"]["numpy"] = "1.0.0"
    run_record.write(run / "run.json", record)
    before = contents(run)
    server.call(*RUN, cwd=tmp_path).refused(
        "another set of versions", f"- numpy: it has '1.0.0', now it is '{np.__version__}'"
    )
    assert contents(run) == before


def test_a_run_of_other_code_is_refused_and_can_be_read(
    finished: Path, tmp_path: Path, server: Server
) -> None:
    """As begun before the code was among the versions."""
    run = copy_of(finished, tmp_path)
    record = run_record.read(run / "run.json")
    assert record is not None
    code = record["versions"].pop("kvasir_prune code")
    run_record.write(run / "run.json", record)
    versions = origin(record)["versions"]
    for name in ("pruning.h5", "importance.h5", "evaluation.h5"):
        with h5py.File(run / name, "r+") as file:
            if name == "evaluation.h5":
                own = json.loads(file.attrs["origin"])
                file.attrs["origin"] = json.dumps({**own, "versions": versions})
            else:
                file.attrs["versions" if name == "pruning.h5" else "identity.versions"] = versions
        seal(run / name)
    assert "finished" in server.call("status", "run", cwd=tmp_path).succeeded().out
    server.call("report", "run", cwd=tmp_path).succeeded()
    assert_same_results(run, finished / "run")
    (run / "pruned.keras").unlink()
    sentence = server.call(*RUN, cwd=tmp_path).refused("another set of versions", "--run-dir")
    assert f"- kvasir_prune code: it has None, now it is '{code}'" in sentence


def test_the_digest_of_the_code_changes_with_what_computes_alone(tmp_path: Path) -> None:
    copied = tmp_path / "kvasir_prune"
    shutil.copytree(
        Path(kvasir_prune.__file__).parent, copied, ignore=shutil.ignore_patterns("__pycache__")
    )
    before = code_digest(copied)
    assert before == code_digest()
    for path, counts in (
        ("training/fit.py", True),
        ("pruning/greedy.py", True),
        ("report/assessment.py", True),
        ("report/html.py", False),
        ("environment.py", True),
        ("cli/status.py", False),
    ):
        text = (copied / path).read_text()
        (copied / path).write_text(f"{text}\n")
        assert (code_digest(copied) != before) == counts
        (copied / path).write_text(text)
    (copied / "training" / "fit.py").rename(copied / "training" / "fitting.py")
    assert code_digest(copied) != before


def test_another_split_is_refused(finished: Path, tmp_path: Path, server: Server) -> None:
    run = copy_of(finished, tmp_path, *AFTER_LEDGER)
    lines = (run / "split.csv").read_text().splitlines(keepends=True)
    places = [next(n for n, s in enumerate(lines) if s.endswith(f",{name}\n")) for name in PARTS]
    for place, name in zip(places, reversed(PARTS), strict=True):
        lines[place] = lines[place].rsplit(",", 1)[0] + f",{name}\n"
    (run / "split.csv").write_text("".join(lines))
    before = contents(run)
    digest = json.loads((run / "run.json").read_text())["digests"]["split"]
    server.call(*RUN, cwd=tmp_path).refused("split.csv", "damaged, or was changed", digest)
    assert contents(run) == before


PARTS = ("train", "validation")


def test_a_split_of_other_images_is_refused(finished: Path, tmp_path: Path, server: Server) -> None:
    run = copy_of(finished, tmp_path, *AFTER_LEDGER)
    lines = (run / "split.csv").read_text().splitlines(keepends=True)
    (run / "split.csv").write_text("".join(lines[:-1]))
    before = contents(run)
    server.call(*RUN, cwd=tmp_path).refused("split.csv", "damaged, or was changed")
    assert contents(run) == before


def test_another_network_is_refused(finished: Path, tmp_path: Path, server: Server) -> None:
    run = copy_of(finished, tmp_path, *AFTER_LEDGER)
    change_weights(run / "model.keras", lambda values: values * np.float32(1.01))
    before = contents(run)
    server.call(*RUN, cwd=tmp_path).refused("model.keras", "damaged, or was changed")
    assert contents(run) == before
    record = run_record.read(run / "run.json")
    assert record is not None
    run_record.write(run / "run.json", run_record.sealed(record, run / "model.keras"))
    server.call(*RUN, cwd=tmp_path).refused("another trained network", record["digests"]["weights"])


@pytest.mark.parametrize("name", ["pruning.h5", "importance.h5"])
def test_a_record_that_another_run_wrote_is_refused(
    finished: Path, tmp_path: Path, server: Server, name: str
) -> None:
    run = copy_of(finished, tmp_path, *AFTER_LEDGER)
    key = {"pruning.h5": "weights", "importance.h5": "identity.weights"}[name]
    with h5py.File(run / name, "r+") as file:
        assert len(file.attrs[key]) == 64
        file.attrs[key] = "f" * 64
    seal(run / name)
    before = contents(run)
    server.call(*RUN, cwd=tmp_path).refused("another run", run.name, name, "f" * 64)
    changed = {path for path, content in contents(run).items() if content != before.get(path)}
    assert changed == {"run.json", "run.previous.json", "run.log"}  # that it was started


def test_a_folder_of_something_else_is_refused(tmp_path: Path, server: Server) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.tex").write_text("do not touch")
    (tmp_path / "run" / ".hidden").write_text("may stay")
    write_config(tmp_path, {})
    before = contents(tmp_path / "run")
    server.call(*RUN, cwd=tmp_path).refused("holds other files", "thesis.tex", "--run-dir")
    server.call("report", *RUN[1:], cwd=tmp_path).refused("holds other files")
    assert contents(tmp_path / "run") == before


@pytest.mark.parametrize("place", ["config.yaml", "config.yaml/below"])
def test_a_file_in_the_place_of_the_folder_is_refused(
    tmp_path: Path, server: Server, place: str
) -> None:
    write_config(tmp_path, {})
    server.call("run", "config.yaml", "--run-dir", place, cwd=tmp_path).refused(
        "cannot be made or written", place
    )


HOLDER = """
import sys
from pathlib import Path
from kvasir_prune.experiment.folder import RunFolder
with RunFolder(Path(sys.argv[1])).owned():
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(finished: Path, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Give another process that owns the run folder until its input ends."""
    run = copy_of(finished, tmp_path)
    pipe = subprocess.PIPE
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(run)],
        env=environment(),
        stdin=pipe,
        stdout=pipe,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate(timeout=PATIENCE_S)


def test_a_folder_in_use_is_refused_and_the_user_named(
    tmp_path: Path, server: Server, holder: subprocess.Popen[str]
) -> None:
    before = contents(tmp_path / "run")
    for name in ("run", "report"):
        server.call(name, *RUN[1:], cwd=tmp_path).refused(
            "Another process is working", f"process {holder.pid} on "
        )
    server.call("status", "run", cwd=tmp_path).succeeded()
    assert contents(tmp_path / "run") == before


def test_the_lock_of_a_dead_process_is_no_obstacle(
    tmp_path: Path, server: Server, holder: subprocess.Popen[str]
) -> None:
    holder.kill()
    holder.wait(PATIENCE_S)
    assert str(holder.pid) in (tmp_path / "run" / ".owner.json").read_text()
    server.call(*RUN, cwd=tmp_path).succeeded()
    assert not (tmp_path / "run" / ".owner.json").exists()


@pytest.fixture
def readable_by_all() -> Iterator[Path]:
    """Give a folder that other users may enter; pytest's own folders are closed to them."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


def test_a_read_only_folder_is_refused(finished: Path, readable_by_all: Path) -> None:
    run = copy_of(finished, readable_by_all)
    before = contents(run)
    new = readable_by_all / "closed"
    new.mkdir()
    for folder in (run, new):
        folder.chmod(0o555)
    try:
        for name, folder in (
            ("run", "run"),
            ("report", "run"),
            ("run", "closed"),
            ("run", "closed/new"),
        ):
            done = _call_unprivileged(readable_by_all, name, "config.yaml", "--run-dir", folder)
            done.refused("cannot be made or written", folder, "Permission denied", "--run-dir")
        _call_unprivileged(readable_by_all, "status", "run", "--json").succeeded()
        assert contents(run) == before
        assert not list(new.iterdir())
    finally:
        for folder in (run, new):
            folder.chmod(0o755)


UNPRIVILEGED = """
import os
from kvasir_prune.cli import app, main
if os.geteuid() == 0:
    try:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
    except OSError:
        raise SystemExit("root that cannot be left")
main()
"""


def _call_unprivileged(cwd: Path, *arguments: str) -> Outcome:
    """Run a command as somebody who may not write here: root would be allowed everything.

    Root is left after the imports, for the interpreter may lie where only root can read.
    """
    done = subprocess.run(
        [sys.executable, "-c", UNPRIVILEGED, *arguments],
        cwd=cwd,
        env=environment(HOME=str(cwd)),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    if "root that cannot be left" in done.stderr:
        pytest.skip("this root may not become another user")
    return Outcome(done.returncode, done.stdout, done.stderr)


def cut_short(content: bytes) -> bytes:
    return content[: len(content) * 2 // 3]


def zeroed(content: bytes) -> bytes:
    return bytes(len(content))


def emptied(_: bytes) -> bytes:
    return b""


def flipped_in_a_row(content: bytes) -> bytes:
    """Flip one bit of a removal's loss."""
    with h5py.File(io.BytesIO(content)) as file:
        table = file["removed"]
        start = table.id.get_offset() + 3 * table.dtype.itemsize + table.dtype.fields["loss"][1]
    return content[:start] + bytes([content[start] ^ 1]) + content[start + 1 :]


@pytest.mark.parametrize("stage", ["in the middle", "at the end"])
@pytest.mark.parametrize("damage", [cut_short, zeroed, emptied, flipped_in_a_row])
def test_a_damaged_ledger_is_told_and_kept(
    finished: Path, tmp_path: Path, server: Server, damage: Callable[[bytes], bytes], stage: str
) -> None:
    run = copy_of(finished, tmp_path, *(AFTER_LEDGER if stage == "in the middle" else ()))
    _spoil(run / "pruning.h5", damage)
    (run / "pruning.previous.h5").unlink()
    before = contents(run)
    for arguments in (RUN, ("report", *RUN[1:]), ("status", "run")):
        sentence = server.call(*arguments, cwd=tmp_path).refused("pruning.h5", "to mend it")
        assert "TensorFlow" not in sentence
    assert contents(run) == before


@pytest.mark.parametrize("stage", ["in the middle", "at the end"])
@pytest.mark.parametrize("damage", [cut_short, zeroed])
def test_damaged_importances_are_told_and_kept(
    finished: Path, tmp_path: Path, server: Server, damage: Callable[[bytes], bytes], stage: str
) -> None:
    run = copy_of(finished, tmp_path, *(AFTER_IMPORTANCE if stage == "in the middle" else ()))
    _spoil(run / "importance.h5", damage)
    _spoil(run / "importance.previous.h5", damage)
    before = contents(run)
    for arguments in (RUN, ("report", *RUN[1:]), ("status", "run")):
        server.call(*arguments, cwd=tmp_path).refused("importance.h5", "to mend it")
    assert contents(run) == before


@pytest.mark.parametrize(
    "content",
    [
        '{"schema_version": 2, "comm',
        "",
        "[1, 2]",
        "null",
        '{"schema_version": 2}',
        '{"schema_version": 2, "command": "", "created": "", "threads": "two", '
        '"identity": {}, "versions": {}, "digests": {}}',
        "\udcff\udcfe",
    ],
)
def test_a_damaged_record_of_the_run_is_told(
    finished: Path, tmp_path: Path, server: Server, content: str
) -> None:
    run = copy_of(finished, tmp_path)
    (run / "run.json").write_bytes(content.encode("utf-8", "surrogateescape"))
    (run / "run.previous.json").unlink()
    before = contents(run)
    for arguments in (RUN, ("report", *RUN[1:]), ("status", "run")):
        server.call(*arguments, cwd=tmp_path).refused("run.json", "damaged", "to mend it")
    assert contents(run) == before


def rewrite_record(path: Path, **changes: object) -> None:
    """Change keys of a `run.json`, or drop those that become None, and seal it again."""
    record = {**json.loads(path.read_text()), **changes, "sha256": None}
    kept = {key: value for key, value in record.items() if value is not None}
    digest = hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()
    path.write_text(json.dumps({**kept, "sha256": digest}))


@pytest.mark.slow
def test_a_record_that_knew_no_starts_is_read_and_further_starts_are_told(
    finished: Path, tmp_path: Path, server: Server
) -> None:
    run = copy_of(finished, tmp_path, *AFTER_LEDGER)
    rewrite_record(run / "run.json", schema_version=3, starts=None)
    server.call(*RUN, cwd=tmp_path).succeeded()
    record = json.loads((run / "run.json").read_text())
    assert (record["schema_version"], len(record["starts"])) == (4, 2)
    assert record["starts"][0] == record["created"] <= record["starts"][1]
    page = (run / "report" / "report.html").read_text()
    assert "Started again to compute" in page
    assert record["starts"][1] in page
    assert_same_results(run, finished / "run")


@pytest.mark.parametrize("name", ["run.json", "pruning.h5", "importance.h5"])
def test_files_of_another_version_are_told(
    finished: Path, tmp_path: Path, server: Server, name: str
) -> None:
    run = copy_of(finished, tmp_path)
    if name == "run.json":
        rewrite_record(run / name, schema_version=99)
    else:
        with h5py.File(run / name, "r+") as file:
            file.attrs["schema_version"] = 99
        seal(run / name)
    before = contents(run)
    for arguments in (RUN, ("status", "run")):
        server.call(*arguments, cwd=tmp_path).refused(name, "schema version 99", "another version")
    assert contents(run) == before


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["in the middle", "at the end"])
@pytest.mark.parametrize("name", ["pruning.h5", "importance.h5", "run.json"])
def test_a_damaged_record_gives_way_to_the_commit_before(
    finished: Path, tmp_path: Path, server: Server, name: str, stage: str
) -> None:
    run = copy_of(finished, tmp_path, *(AFTER_LEDGER if stage == "in the middle" else ()))
    _spoil(run / name, cut_short)
    damaged = (run / name).read_bytes()
    server.call("status", "run", cwd=tmp_path).refused(name, "commit before")
    done = server.call(*RUN, cwd=tmp_path).succeeded()
    kept = name.replace(".", ".damaged-1.")
    assert f"{name} is damaged and kept as {kept}" in done.err
    assert (run / kept).read_bytes() == damaged
    assert_same_results(run, finished / "run")


@pytest.mark.slow
def test_a_ledger_that_is_gone_gives_way_to_the_commit_before(
    finished: Path, tmp_path: Path, server: Server
) -> None:
    run = copy_of(finished, tmp_path, "pruning.h5")
    done = server.call(*RUN, cwd=tmp_path).succeeded()
    assert "pruning.h5 is gone: the run goes on from the commit before" in done.err
    assert_same_results(run, finished / "run")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["pruned.keras", "cost.json", "evaluation.h5"])
def test_what_was_made_from_the_ledger_is_made_again_when_damaged(
    finished: Path, tmp_path: Path, server: Server, name: str
) -> None:
    run = copy_of(finished, tmp_path)
    _spoil(run / name, zeroed)
    damaged = (run / name).read_bytes()
    done = server.call(*RUN, cwd=tmp_path).succeeded()
    kept = name.replace(".", ".damaged-1.")
    assert f"kept as {kept}: it is made again" in done.err
    assert (run / kept).read_bytes() == damaged
    assert (run / "cost.json").read_bytes() == (finished / "run" / "cost.json").read_bytes()
    assert_same_results(run, finished / "run")


@pytest.mark.slow
def test_a_damaged_network_that_is_deleted_comes_from_the_checkpoint_again(
    finished: Path, tmp_path: Path, server: Server
) -> None:
    run = copy_of(finished, tmp_path)
    _spoil(run / "model.keras", zeroed)
    advice = server.call(*RUN, cwd=tmp_path).refused("model.keras", "delete model.keras and")
    assert "training/history.csv" in advice
    for name in ("model.keras", "training/history.csv"):
        (run / name).unlink()
    assert "Epoch 1:" not in server.call(*RUN, cwd=tmp_path).succeeded().err
    assert_same_results(run, finished / "run", "model.keras")


@pytest.mark.slow
def test_a_pruning_begun_anew_leaves_nothing_of_the_old_one(
    finished: Path, tmp_path: Path, server: Server
) -> None:
    run = copy_of(finished, tmp_path, "pruning.h5", "pruning.previous.h5")
    server.call(*RUN, cwd=tmp_path).succeeded()
    assert_same_results(run, finished / "run")
    found, expected = (
        json.loads((folder / "report" / "report.json").read_text())
        for folder in (run, finished / "run")
    )
    assert found["results"]["evolution"] == expected["results"]["evolution"] != []


@pytest.mark.slow
@pytest.mark.parametrize(
    "gone",
    [
        ("data.json",),
        ("split.csv",),
        ("training/history.csv",),
        ("model.keras",),
        ("cost.json",),
        ("report/report.md",),
        ("run.json",),
        ("config.yaml",),
    ],
)
def test_a_finished_file_that_is_gone_is_made_again(
    finished: Path, tmp_path: Path, server: Server, gone: tuple[str, ...]
) -> None:
    run = copy_of(finished, tmp_path)
    for name in gone:
        (run / name).unlink()
    command = ("report", *RUN[1:]) if "config.yaml" in gone else RUN
    server.call(*command, cwd=tmp_path).succeeded()
    for name in gone:
        assert (run / name).exists()
    assert "The run is finished" in server.call(*RUN, cwd=tmp_path).succeeded().err
    assert_same_results(run, finished / "run", "model.keras")


@pytest.mark.slow
def test_what_was_forgotten_does_not_come_back_with_the_record_before_the_last(
    finished: Path, tmp_path: Path, server: Server
) -> None:
    run = copy_of(finished, tmp_path)
    for name in ("model.keras", "training/history.csv"):
        (run / name).unlink()
    server.call("data", *RUN[1:], cwd=tmp_path).succeeded()
    for name in ("run.json", "run.previous.json"):
        record = run_record.read(run / name)
        assert record is not None
        assert not {"model.keras", "history.csv"} & set(record["files"])
        assert len(record["devices"]) == 1


def test_a_report_that_was_killed_half_way_is_finished(
    finished: Path, tmp_path: Path, server: Server
) -> None:
    run = copy_of(finished, tmp_path)
    groups = 'report.class_groups={even: ["0", "2", "4", "6", "8"]}'
    with running("report", *RUN[1:], "--set", groups, cwd=tmp_path) as process:
        until(lambda: not (run / "report" / "report.json").exists(), process)
        process.send_signal(signal.SIGKILL)
    assert not (run / "report" / "report.json").exists()
    (run / "report" / "tables" / "of_an_earlier_report.csv").write_text("1,2")
    server.call(*RUN, cwd=tmp_path).succeeded()
    results = [
        json.loads((folder / "report" / "report.json").read_text())["results"]
        for folder in (run, finished / "run")
    ]
    assert results[0] == results[1]
    tables = [
        sorted(p.name for p in (folder / "report" / "tables").iterdir())
        for folder in (run, finished / "run")
    ]
    assert tables[0] == tables[1]


def test_a_flipped_bit_in_the_runs_own_configuration_changes_nothing(
    finished: Path, tmp_path: Path, server: Server
) -> None:
    run = copy_of(finished, tmp_path)
    text = (run / "config.yaml").read_text()
    assert "every_removals: 20" in text
    (run / "config.yaml").write_text(text.replace("every_removals: 20", "every_removals: 30"))
    refused = server.call("report", "run", cwd=tmp_path)
    refused.refused("config.yaml", "it is damaged, or was changed")
    for path in (run / "report").glob("report.*"):
        path.unlink()
    server.call(*RUN, cwd=tmp_path).succeeded()
    assert (run / "config.yaml").read_text() == text


def test_an_evaluated_run_writes_its_configuration_anew_where_its_end_is_cut_off(
    finished: Path, tmp_path: Path, server: Server
) -> None:
    """What is left is YAML, and another configuration: `every_removals` is not in it."""
    run = copy_of(finished, tmp_path, "report")
    text = (run / "config.yaml").read_text()
    (run / "config.yaml").write_text(text[: text.index("  every_removals")])
    server.call(*RUN, cwd=tmp_path).succeeded()
    assert (run / "config.yaml").read_text() == text
    assert_same_results(run, finished / "run")
    found, expected = (
        json.loads((folder / "report" / "report.json").read_text())["results"]
        for folder in (run, finished / "run")
    )
    assert found == expected


def test_a_report_is_finished_by_the_runs_own_packages_and_renewed_by_any(
    finished: Path, tmp_path: Path, server: Server
) -> None:
    run = copy_of(finished, tmp_path, "report")
    record = json.loads((run / "run.json").read_text())
    rewrite_record(run / "run.json", versions={**record["versions"], "numpy": "0.1"})
    server.call(*RUN, cwd=tmp_path).refused("another set of versions", "numpy: it has '0.1'")
    assert not (run / "report").exists()


def test_a_damaged_report_is_told_and_written_on_request(
    finished: Path, tmp_path: Path, server: Server
) -> None:
    run = copy_of(finished, tmp_path)
    _spoil(run / "report" / "report.json", zeroed)
    done = server.call(*RUN, cwd=tmp_path).succeeded()
    assert "report.json is damaged, or was changed: `kvasir-prune report`" in done.err
    server.call("report", *RUN[1:], cwd=tmp_path).succeeded()
    assert "damaged" not in server.call(*RUN, cwd=tmp_path).succeeded().err


def test_a_plan_does_not_put_a_new_record_in_the_place_of_one_that_is_gone(
    finished: Path, tmp_path: Path, server: Server
) -> None:
    run = copy_of(finished, tmp_path)
    before = (run / "run.previous.json").read_bytes()
    (run / "run.json").unlink()
    arguments = ("plan", *RUN[1:], "--set", "seed=77")
    server.call(*arguments, cwd=tmp_path).refused("seed", "77")
    assert (run / "run.json").read_bytes() == before


@pytest.mark.parametrize("name", ["training/history.csv", "config.yaml"])
def test_what_is_only_written_and_never_read_again_may_be_damaged(
    finished: Path, tmp_path: Path, server: Server, name: str
) -> None:
    run = copy_of(finished, tmp_path, *AFTER_TRAINING, "model.keras")
    record = run_record.read(run / "run.json")
    assert record is not None
    run_record.write(run / "run.json", run_record.without(record, run / "history.csv"))
    (run / name).write_text("cut")
    server.call("train", *RUN[1:], cwd=tmp_path).succeeded()
    assert (run / name).read_bytes() == (finished / "run" / name).read_bytes()


@pytest.mark.parametrize("damage", [cut_short, zeroed, emptied])
def test_a_damaged_network_is_told_and_kept(
    finished: Path, tmp_path: Path, server: Server, damage: Callable[[bytes], bytes]
) -> None:
    run = copy_of(finished, tmp_path, *AFTER_TRAINING)
    _spoil(run / "model.keras", damage)
    before = contents(run)
    server.call(*RUN, cwd=tmp_path).refused("damaged, or was changed", "model.keras")
    assert contents(run) == before


def test_what_a_killed_writer_left_is_swept_away(
    finished: Path, tmp_path: Path, server: Server
) -> None:
    run = copy_of(finished, tmp_path)
    (run / ".pruning.4711.partial.h5").write_bytes(b"half")
    server.call(*RUN, cwd=tmp_path).succeeded()
    assert not list(run.glob(".*.partial*"))


def _spoil(path: Path, damage: Callable[[bytes], bytes]) -> None:
    content = path.read_bytes()
    path.write_bytes(damage(content))
    assert path.read_bytes() != content


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("training/history.csv", b"epoch,train_loss\n1,abc\n"),
        ("data.json", b'{"source": "digits"'),
        ("data.json", b'{"source": "digits"}'),
    ],
)
def test_a_damaged_small_file_is_told(
    finished: Path, tmp_path: Path, server: Server, name: str, content: bytes
) -> None:
    run = copy_of(finished, tmp_path)
    (run / name).write_bytes(content)
    server.call("report", *RUN[1:], cwd=tmp_path).refused(name, "damaged", "to mend it")
    assert (run / name).read_bytes() == content


def test_a_missing_cost_is_counted_again(finished: Path, tmp_path: Path, server: Server) -> None:
    run = copy_of(finished, tmp_path, "cost.json")
    server.call(*RUN, cwd=tmp_path).succeeded()
    assert (run / "cost.json").read_bytes() == (finished / "run" / "cost.json").read_bytes()


def test_a_damaged_split_is_refused(finished: Path, tmp_path: Path, server: Server) -> None:
    run = copy_of(finished, tmp_path, *AFTER_TRAINING)
    (run / "split.csv").write_bytes(b"\xff\xfe" + (run / "split.csv").read_bytes())
    server.call(*RUN, cwd=tmp_path).refused("split.csv", "to mend it")


def test_logits_of_another_run_are_not_reported(
    finished: Path, tmp_path: Path, server: Server
) -> None:
    run = copy_of(finished, tmp_path)
    with h5py.File(run / "evaluation.h5", "r+") as file:
        origin = json.loads(file.attrs["origin"])
        file.attrs["origin"] = json.dumps({**origin, "split": "e" * 64})
    seal(run / "evaluation.h5")
    server.call("report", *RUN[1:], cwd=tmp_path).refused("another run", "evaluation.h5")


def test_a_lost_split_does_not_open_the_folder_to_another_configuration(
    finished: Path, tmp_path: Path, server: Server
) -> None:
    run = copy_of(finished, tmp_path)
    (run / "split.csv").unlink()
    before = contents(run)
    server.call(*RUN, "--set", "seed=77", cwd=tmp_path).refused("seed", "77")
    assert contents(run) == before


def test_the_ledger_names_the_digests_of_all_it_depends_on(finished: Path) -> None:
    with h5py.File(finished / "run" / "pruning.h5") as file:
        for name in ("config", "split", "weights", "versions"):
            assert len(file.attrs[name]) == 64
        assert file.attrs["schema_version"] == 3


def test_tensorboard_shows_every_epoch_once(finished: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.util.tensor_util import make_ndarray

    folder = finished / "run" / "training" / "tensorboard"
    events = EventAccumulator(str(folder), size_guidance={"tensors": 0})
    events.Reload()
    history = (finished / "run" / "training" / "history.csv").read_text().splitlines()[1:]
    for tag, column in (("loss/train", 1), ("accuracy/validation", 4)):
        shown = [(e.step, float(make_ndarray(e.tensor_proto))) for e in events.Tensors(tag)]
        told = [(int(e.split(",")[0]), float(e.split(",")[column])) for e in history]
        assert [step for step, _ in shown] == [step for step, _ in told]
        assert [v for _, v in shown] == pytest.approx([v for _, v in told], rel=1e-6)
