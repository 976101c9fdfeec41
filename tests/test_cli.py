"""The command line as its user meets it: exit codes, help, what needs TensorFlow and what not."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import pytest
import yaml

from kvasir_prune.cli.signals import interruptible
from kvasir_prune.errors import Interrupted, StorageError
from tests.cli_runs import (
    AFTER_TRAINING,
    DIGITS,
    PATIENCE_S,
    RUN,
    Forbidden,
    Server,
    call,
    contents,
    copy_of,
    environment,
    python,
    write_config,
)

SCRIPTS = Path(__file__).parents[1] / "scripts"
COMMANDS = {
    "run": "Do everything that is not done yet",
    "data": "writes split.csv",
    "train": "writes model.keras",
    "importance": "writes importance.h5",
    "prune": "writes pruning.h5 and pruned.keras",
    "report": "Writes report/report.html, report.md and report.json",
    "plan": "Say beforehand what a run will need",
    "status": "Say how far a run is",
    "config": "Check a configuration and print it resolved",
}


@pytest.fixture
def without_tensorflow(tmp_path: Path) -> Forbidden:
    return Forbidden(tmp_path / "forbidden", "tensorflow", "keras")


@pytest.mark.slow
def test_a_whole_run_ends_with_0_and_names_its_report(finished: Path) -> None:
    run = finished / "run"
    assert (finished / "out.txt").read_text().split() == [str(Path("run/report/report.html"))]
    made = {path.name for path in run.rglob("*") if path.is_file()}
    assert made >= {
        *("run.json", "config.yaml", "split.csv", "history.csv", "model.keras", "importance.h5"),
        *("pruning.h5", "pruned.keras", "evaluation.h5", "report.html", "report.md"),
    }
    assert not list(run.rglob("*.partial*"))
    assert not (run / ".owner.json").exists()


def test_forbidden_modules_do_leave_a_mark(without_tensorflow: Forbidden) -> None:
    surroundings = environment(PYTHONPATH=str(without_tensorflow.folder))
    subprocess.run([sys.executable, "-c", "import keras"], env=surroundings, check=False)
    assert without_tensorflow.marks() == ["keras"]


def test_no_command_but_sweep_waits_for_pandas(tmp_path: Path) -> None:
    light = Forbidden(tmp_path / "forbidden", "pandas", "ray")
    light.call("--help", cwd=tmp_path).succeeded()


def test_run_after_the_end_says_so_without_tensorflow_and_touches_nothing(
    finished: Path, tmp_path: Path, without_tensorflow: Forbidden
) -> None:
    run = copy_of(finished, tmp_path)
    before = contents(run)
    done = without_tensorflow.call(*RUN, cwd=tmp_path).succeeded()
    assert "The run is finished: run" in done.err
    assert done.out.split() == ["run/report/report.html"]
    assert contents(run) == before


@pytest.mark.parametrize("lost", ["renderings", "everything"])
def test_a_report_is_rebuilt_to_the_same_bytes_without_tensorflow(
    finished: Path, tmp_path: Path, without_tensorflow: Forbidden, lost: str
) -> None:
    run = copy_of(finished, tmp_path)
    wanted = {name: content for name, (content, _) in contents(run / "report").items()}
    assert {"report.html", "report.md", "report.json"} < set(wanted)
    for path in (run / "report").rglob("*.*"):
        if lost == "everything" and path.is_file():
            path.unlink()
        elif lost == "renderings" and path.suffix in (".html", ".md", ".svg"):
            path.write_text("spoilt")
    done = without_tensorflow.call("report", *RUN[1:], cwd=tmp_path).succeeded()
    assert done.out.split() == ["run/report/report.html"]
    rebuilt = {name: content for name, (content, _) in contents(run / "report").items()}
    assert rebuilt == wanted


def test_a_rebuilt_report_has_the_present_description(
    finished: Path, tmp_path: Path, server: Server
) -> None:
    run = copy_of(finished, tmp_path)
    config = write_config(tmp_path, {"description": "Better words for it"})
    server.call("report", config, "--run-dir", run, cwd=tmp_path).succeeded()
    assert json.loads((run / "report" / "report.json").read_text())["description"] == (
        "Better words for it"
    )


def test_status_agrees_with_the_ledger_and_needs_no_tensorflow(
    finished: Path, tmp_path: Path, without_tensorflow: Forbidden
) -> None:
    with h5py.File(finished / "run" / "pruning.h5") as ledger:
        removed, last = len(ledger["removed"]), ledger["removed"][-1]
    table = without_tensorflow.call("status", finished / "run", cwd=tmp_path).succeeded().out
    facts = json.loads(
        without_tensorflow.call("status", finished / "run", "--json", cwd=tmp_path).succeeded().out
    )
    assert facts["stage"] == "finished"
    assert facts["epochs"] == 3
    assert (facts["importance_done"], facts["importance_nodes"]) == (128, 128)
    assert (facts["removed"], facts["nodes"]) == (removed, 128)
    assert (facts["loss"], facts["accuracy"]) == (last["loss"], last["accuracy"])
    for words in (f"{removed} of 128 nodes in ", f"{last['loss']:.5f} now", "128 nodes measured"):
        assert words in table


@pytest.mark.parametrize(
    ("missing", "stage"),
    [
        ("report", "report"),
        ("evaluation.h5", "evaluate"),
        ("pruned.keras", "prune"),
        ("importance.h5", "importance"),
        ("model.keras", "train"),
        ("split.csv", "data"),
    ],
)
def test_status_names_the_stage_whose_file_is_missing(
    finished: Path, tmp_path: Path, server: Server, missing: str, stage: str
) -> None:
    run = copy_of(finished, tmp_path, missing)
    done = server.call("status", run, "--json", cwd=tmp_path).succeeded()
    assert json.loads(done.out)["stage"] == stage


def test_status_of_what_is_no_run(tmp_path: Path, server: Server) -> None:
    server.call("status", tmp_path / "nowhere", cwd=tmp_path).refused(
        "This folder is no run", tmp_path / "nowhere", "run.json"
    )


def test_config_prints_every_key_and_its_output_is_a_fixed_point(
    tmp_path: Path, without_tensorflow: Forbidden, server: Server
) -> None:
    config = write_config(tmp_path, {})
    printed = without_tensorflow.call("config", config, cwd=tmp_path).succeeded().out
    resolved = yaml.safe_load(printed)
    assert resolved["training"]["max_epochs"] == 3
    assert resolved["training"]["optimizer"]["name"] == "adam"
    assert resolved["importance"]["split"] == "validation"
    (tmp_path / "resolved.yaml").write_text(printed, encoding="utf-8")
    assert server.call("config", "resolved.yaml", cwd=tmp_path).out == printed


def test_set_overrides_one_key(tmp_path: Path, server: Server) -> None:
    config = write_config(tmp_path, {})
    overrides = ("--set", "training.max_epochs=9", "--set", "data.fractions.train=0.7")
    done = server.call("config", config, *overrides, cwd=tmp_path).succeeded()
    resolved = yaml.safe_load(done.out)
    assert resolved["training"]["max_epochs"] == 9
    assert resolved["data"]["limit_per_class"] == 40


def test_config_schema_knows_every_key_of_the_resolved_configuration(
    tmp_path: Path, server: Server
) -> None:
    schema = json.loads(server.call("config", "--schema", cwd=tmp_path).succeeded().out)
    printed = server.call("config", write_config(tmp_path, {}), cwd=tmp_path).out
    known = {name for part in _parts(schema) for name in part.get("properties", {})}
    assert _keys(yaml.safe_load(printed)) <= known
    assert set(schema["required"]) == {"name", "data", "model"}


def _parts(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        for inner in value.values():
            yield from _parts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _parts(inner)


def _keys(value: Any) -> set[str]:
    if not isinstance(value, dict):
        return set()
    return set(value) | {key for inner in value.values() for key in _keys(inner)}


@pytest.mark.parametrize("name", COMMANDS)
def test_help_says_what_a_command_does(tmp_path: Path, server: Server, name: str) -> None:
    shown = _plain(server.call(name, "--help", cwd=tmp_path).succeeded().out)
    assert COMMANDS[name] in shown
    assert f"kvasir-prune {name}" in shown


def test_help_lists_commands_and_exit_codes(tmp_path: Path, server: Server) -> None:
    shown = _plain(call("--help", cwd=tmp_path).succeeded().out)
    for name in COMMANDS:
        assert f" {name} " in shown
    assert (
        "Exit codes: 0 done, 1 a bug, 2 your input; 74 the disk, 75 the device, 130, 138 or 143"
        in shown
    )
    bare = server.call(cwd=tmp_path)
    assert "Exit codes:" in bare.out + bare.err


def _plain(text: str) -> str:
    return re.sub(r"[\s│╭╮╰╯─]+", " ", text)


def test_version(tmp_path: Path, server: Server) -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+\n", server.call("--version", cwd=tmp_path).succeeded().out)


def test_a_wrong_configuration_lists_all_faults_and_ends_with_2(tmp_path: Path) -> None:
    config = write_config(tmp_path, {"training.max_epoch": 3, "seed": -1, "model.name": "resnet"})
    done = call("run", config, "--run-dir", "run", cwd=tmp_path)
    sentence = done.refused("3 faults", "training.max_epoch", "seed", "model.name", config)
    assert 'did you mean "max_epochs"?' in sentence
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("run", "missing.yaml"), "cannot be read"),
        (("run", "."), "cannot be read"),
        (("config", "config.yaml", "--set", "seed"), "a.b=value"),
        (("config", "config.yaml", "--set", "seed=[1"), "not valid YAML"),
        (("config", "torn.yaml"), "not valid YAML"),
        (("config",), "give a YAML file"),
        (("prnue", "config.yaml"), "prnue"),
        (("run", "config.yaml", "--rundir", "x"), "--rundir"),
        (("run",), "CONFIG"),
    ],
)
def test_wrong_usage_ends_with_2_and_a_sentence(
    tmp_path: Path, server: Server, arguments: tuple[str, ...], words: str
) -> None:
    write_config(tmp_path, {})
    (tmp_path / "torn.yaml").write_text("name: {a: [1,\n", encoding="utf-8")
    done = server.call(*arguments, cwd=tmp_path)
    assert done.code == 2
    assert words in done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_is_not_swallowed_by_code_that_survives_every_exception(number: int) -> None:
    def stubborn() -> None:
        with interruptible(lambda _: None):
            try:
                os.kill(os.getpid(), number)
            except Exception:
                pytest.fail("a library would have gone on")

    before = signal.getsignal(number)
    with pytest.raises(Interrupted) as caught:
        stubborn()
    assert caught.value.signal_number == number
    assert caught.value.exit_code == 128 + number
    assert signal.getsignal(number) is before


@pytest.mark.parametrize(
    ("becomes", "told"), [(SystemError, Interrupted), (StorageError, StorageError)]
)
def test_a_signal_that_a_library_turns_into_its_own_error_is_still_told_as_one(
    becomes: type[Exception], told: type[Exception]
) -> None:
    """As h5py does where the signal comes in one of HDF5's callbacks; a full disk is told."""

    def library() -> None:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        except BaseException as error:
            raise becomes("a result with an exception set") from error

    with pytest.raises(told), interruptible(lambda _: None):
        library()
    with pytest.raises(ZeroDivisionError), interruptible(lambda _: None):
        1 / 0  # noqa: B018


def test_only_a_second_interrupt_acts_at_once() -> None:
    program = (
        "import os, signal, time\n"
        "from functools import partial\n"
        "from kvasir_prune.cli.signals import interruptible\n"
        "with interruptible(partial(print, flush=True)):\n"
        "    try:\n"
        "        os.kill(os.getpid(), signal.SIGTERM)\n"
        "    finally:\n"
        "        os.kill(os.getpid(), signal.SIGTERM)\n"
        "        os.kill(os.getpid(), signal.SIGINT)\n"
        "        time.sleep(600)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 128 + signal.SIGTERM
    assert "Stopped by signal 15" in done.stdout


def test_an_interruption_while_the_program_still_loads_is_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "typer.py").write_text(
        "import os, signal\n"
        # A shell that starts the tests in the background has them ignore SIGINT.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "os.kill(os.getpid(), signal.SIGINT)\n"
    )
    done = call("--version", cwd=tmp_path)
    assert done.code == 130
    assert "Traceback" not in done.err


@pytest.mark.parametrize("name", ["train", "prune", "report"])
def test_scripts_are_doors_to_the_commands(tmp_path: Path, name: str) -> None:
    helped, refused = (
        python(SCRIPTS / f"{name}.py", argument, cwd=tmp_path)
        for argument in ("--help", "missing.yaml")
    )
    assert helped.code == 0
    assert COMMANDS[name] in _plain(helped.out)
    refused.refused("missing.yaml")


@pytest.mark.slow
def test_a_command_stops_after_its_stage(finished: Path, tmp_path: Path, server: Server) -> None:
    run = copy_of(finished, tmp_path, *AFTER_TRAINING)
    server.call("importance", *RUN[1:], cwd=tmp_path).succeeded()
    assert (run / "importance.h5").exists()
    assert not (run / "pruning.h5").exists()
    server.call("prune", *RUN[1:], cwd=tmp_path).succeeded()
    assert (run / "pruned.keras").exists()
    assert not (run / "report").exists()
    done = server.call(*RUN, cwd=tmp_path).succeeded()
    assert done.out.split() == ["run/report/report.html"]


def test_the_default_run_folder_bears_the_name(tmp_path: Path, server: Server) -> None:
    place = tmp_path / "checkpoints" / DIGITS["name"]
    place.mkdir(parents=True)
    (place / "letter.txt").write_text("not a run")
    write_config(tmp_path, {})
    server.call("run", "config.yaml", cwd=tmp_path).refused("checkpoints/tiny", "letter.txt")
