"""The text logs of 2020: whatever is left of them comes into a ledger and a report."""

import csv
import json
import math
import os
import re
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kvasir_prune.config.model import Vgg16
from kvasir_prune.errors import KvasirPruneError
from kvasir_prune.experiment.folder import RunFolder
from kvasir_prune.experiment.importing import import_thesis, renew_imported
from kvasir_prune.ledger import HDF5Ledger
from kvasir_prune.ledger.thesis_events import entries_of
from kvasir_prune.ledger.thesis_logs import read_logs
from kvasir_prune.report.imported import ImportedRecord, imported_record
from kvasir_prune.types import Ignored, LayerFinished, LayerSize, Removed
from tests.cli_runs import Server

LAYERS = (LayerSize("conv", 4), LayerSize("wide", 12), LayerSize("last", 6))
LOSSES = ("validation", "loss")
LOGS = {
    "Pruning/removed.txt": "3 0 \n11 2 4 \n\n\n\n",
    "Pruning/loss.txt": "0.8 0.6 0.5 0.45 0.25 0.125 ",
    "Pruning/accuracy.txt": "0.5 0.5 0.625 0.75 0.75 0.875 \n\n",
    "Evolution/loss_train.txt": "0.5 0.5 0.5 0.5 0.5 0.5 ",
    "Evolution/accuracy_train.txt": "0.9 0.9 0.9 0.9 0.9 0.9 ",
    "Evolution/loss_test.txt": "0.9 0.8 0.7 0.8 0.9 1.0 ",
    "Evolution/accuracy_test.txt": "0.6 0.6 0.7 0.6 0.5 0.4 ",
    "Estimate/important.txt": "1 2 4 \n0 1 \n0 1 2 \n",
    "Estimate/zero.txt": "5 \n\n3 \n",
    "Estimate/worse.txt": "0 3 \n2 3 4 5 6 7 8 9 10 11 \n",
}


def write(folder: Path, **changed: str | None) -> Path:
    """Write the logs; keys such as `loss_test` change one, None leaves it out."""
    for name, text in LOGS.items():
        content = changed.get(Path(name).stem, text)
        if content is not None:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(content)
    return folder


def imported(folder: Path, place: Path) -> tuple[HDF5Ledger, dict, str]:
    """Import logs; return the ledger as read again, the record, and the Markdown."""
    import_thesis(folder, LAYERS, RunFolder(place))
    record = json.loads((place / "report" / "imported.json").read_text())
    return HDF5Ledger(place / "pruning.h5"), record, (place / "report" / "report.md").read_text()


def test_logs_become_the_events_that_they_tell(tmp_path):
    ledger, record, text = imported(write(tmp_path / "logs"), tmp_path / "run")
    assert [layer.name for layer in ledger.layers] == ["last", "wide", "conv"]
    assert (ledger.baseline.loss, ledger.baseline.accuracy) == (0.8, 0.5)
    told = [
        (e.layer, e.node, round(e.importance, 9), e.loss, e.accuracy)
        for e in ledger.entries
        if isinstance(e, Removed)
    ]
    assert told == [
        (0, 3, 0.2, 0.6, 0.5),
        (0, 0, 0.1, 0.5, 0.625),
        (1, 11, 0.05, 0.45, 0.75),
        (1, 2, 0.2, 0.25, 0.75),
        (1, 4, 0.125, 0.125, 0.875),
    ]
    assert [e.layer for e in ledger.entries if isinstance(e, LayerFinished)] == [0]
    assert not any(isinstance(e, Ignored) for e in ledger.entries)
    evolution = {(row["removed"], row["split"]): row["loss"] for row in ledger.evolution}
    assert len(evolution) == 18
    assert evolution[2, b"test"] == 0.7
    assert evolution[5, b"validation"] == 0.125
    rows = {layer["name"]: [*layer.values()][1:] for layer in record["layers"]}
    assert rows == {
        "conv": [4, 3, 1, None, None],
        "wide": [12, 2, 0, 10, 3],
        "last": [6, 3, 1, 2, 2],
    }
    assert record["turning_point"]["removed"] == 2
    assert record["turning_point"]["test_at_the_end"] == {"loss": 1.0, "accuracy": 0.4}
    assert "After 2 removals the test loss was at its lowest, 0.7000" in text
    line = "| wide             |       5 |    1.0000 |          0.1250 |        0.5000 |"
    assert line in text


@pytest.mark.parametrize("name", LOGS)
def test_any_file_may_be_missing(tmp_path, name):
    logs = write(tmp_path / "logs", **{Path(name).stem: None})
    ledger, record, text = imported(logs, tmp_path / "run")
    assert record["found"][name] == "It is not there."
    assert len(record["found"]) == len(LOGS)
    assert f"| {name}" in text
    removed = sum(isinstance(entry, Removed) for entry in ledger.entries)
    counted = {layer["name"]: layer["removed"] for layer in record["layers"]}
    if "removed" in name:
        assert (removed, counted) == (0, {"conv": None, "wide": None, "last": None})
        assert "| All layers |    22 |" in text
        assert "0.0%" not in text
    else:
        assert (removed, counted) == (5, {"conv": None, "wide": 3, "last": 2})
    told = sorted(len(one["values"]) for one in record["series"])
    assert told == [6] * (6 if "removed" in name or "Estimate" in name else 5)
    assert math.isnan(ledger.baseline.loss) == (name == "Pruning/loss.txt")
    assert math.isnan(ledger.baseline.accuracy) == (name == "Pruning/accuracy.txt")


@pytest.mark.parametrize(
    ("text", "removed", "said"),
    [
        ("3 0 \n\n\n11 2 4 \n", ((3, 0), (11, 2, 4)), "between the others: 2, passed over; if one"),
        ("3 0 \n\n1 2 \n", ((3, 0), (), (1, 2)), "Blank lines were taken for layers without such"),
        ("\n11 2 4 \n\n", ((), (11, 2, 4), ()), "Blank lines were taken for layers without such"),
        ("3 0 3 \n0 0\n", ((3, 0), (0,)), "named again in their line, and passed over: 2."),
        ("3 0\0\0\0\0", ((3, 0),), "2 nodes in 1 of 3 layers."),
        ("\ufeff3 0 \r\n11\r\n", ((3, 0), (11,)), "3 nodes in 2 of 3 layers."),
        ("\n \n\n", None, "It is empty."),
        ("", None, "It is empty."),
    ],
)
def test_blank_lines_and_repeated_nodes_are_told(tmp_path, text, removed, said):
    found = read_logs(write(tmp_path / "logs", removed=text), LAYERS)
    assert found.removed == removed
    assert said in found.found["Pruning/removed.txt"]
    assert all(len(values) == 6 for values in found.series.values())


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"removed": "3 0\n12 1\n"}, ("removed.txt, line 2", "found: '12'", "wide, 0 to 11")),
        ({"removed": "\n\n3 0 1 2 5"}, ("removed.txt, line 3", "found: '5'", "conv, 0 to 3")),
        ({"removed": "3 0\0\0 1 2\n"}, ("removed.txt, line 1", r"found: '0\x00\x00'")),
        ({"removed": "9" * 5000}, ("removed.txt, line 1", "last, 0 to 5")),
        ({"removed": "\u0663 \n"}, ("removed.txt, line 1", "found: '\u0663'")),
        ({"zero": "5\n1 -2\n"}, ("zero.txt, line 2", "found: '-2'", "what the others hold")),
        ({"worse": "0\n0\n0\n0\n"}, ("worse.txt", "4 lines", "at most 3")),
        ({"loss": "0.8 0.6\n0.5 nan0"}, ("loss.txt, line 2", "found: 'nan0'")),
        ({"loss": "0.8 1e308 0.5"}, ("loss.txt, line 1", "found: '1e308'", "0 to 1e+06")),
        ({"loss": "0.8 -0.6"}, ("loss.txt, line 1", "found: '-0.6'")),
        ({"loss": "1_000"}, ("loss.txt, line 1", "found: '1_000'")),
        ({"accuracy_test": "60.0 61.5"}, ("accuracy_test.txt", "found: '60.0'", "0 to 1,")),
        ({"accuracy_test": "0.6 inf"}, ("accuracy_test.txt", "found: 'inf'")),
    ],
)
def test_logs_of_another_network_or_torn_words_are_refused_by_file_and_line(
    tmp_path, changed, words
):
    logs = write(tmp_path / "logs", **changed)
    with pytest.raises(KvasirPruneError) as error:
        import_thesis(logs, LAYERS, RunFolder(tmp_path / "run"))
    assert all(word in str(error.value) for word in words)
    assert [path.name for path in tmp_path.iterdir()] == ["logs"]


def test_a_log_that_is_a_folder_is_refused(tmp_path):
    logs = write(tmp_path / "logs", zero=None)
    (logs / "Estimate" / "zero.txt").mkdir()
    with pytest.raises(KvasirPruneError, match=r"zero.txt\n.*a directory"):
        read_logs(logs, LAYERS)


def test_a_name_that_is_no_text_does_not_matter(tmp_path):
    logs = write(Path(os.fsdecode(os.fsencode(tmp_path) + b"/logs\xff")))
    _, record, _ = imported(logs, tmp_path / "run")
    assert record["source"].endswith("/logs?")


def test_values_that_are_too_few_or_too_many_are_told_and_kept(tmp_path):
    changed = {"loss": "0.8 0.6 0.5", "loss_test": LOGS["Evolution/loss_test.txt"] + "7 8"}
    ledger, record, text = imported(write(tmp_path / "logs", **changed), tmp_path / "run")
    losses = [entry.loss for entry in ledger.entries if isinstance(entry, Removed)]
    assert losses[:2] == [0.6, 0.5]
    assert all(map(math.isnan, losses[2:]))
    for name, count in (("Pruning/loss.txt", 3), ("Evolution/loss_test.txt", 8)):
        assert record["found"][name].startswith(f"{count} values. For 5 removals there should be 6")
    assert [len(one["values"]) for one in record["series"] if one["quantity"] == "loss"] == [
        3,
        6,
        8,
    ]
    last = next(line for line in text.splitlines() if line.startswith("| wide ")).split("|")
    assert [cell.strip() for cell in last[3:6]] == ["1.0000", "\N{EN DASH}", "0.5000"]
    assert record["turning_point"] is None


def test_overfitting_is_told_by_what_it_rests_on_and_only_if_that_is_whole(tmp_path):
    whole = write(tmp_path / "whole", loss_train=None, accuracy_train="0.9 nan 0.9")
    assert imported(whole, tmp_path / "a")[1]["turning_point"]["removed_after"] == 3
    for place, cut in (("b", {"loss_test": "0.9 0.8 0.7 0.8"}), ("c", {"accuracy_test": None})):
        logs = write(tmp_path / f"cut-{place}", **cut)
        assert imported(logs, tmp_path / place)[1]["turning_point"] is None


def test_a_short_log_of_losses_does_not_burst_the_figure(tmp_path):
    nodes = "".join(" ".join(map(str, range(40))) + "\n" for _ in range(15))
    layers = [LayerSize(f"layer{number}", 64) for number in range(15)]
    write(tmp_path / "logs", removed=nodes, important=None, zero=None, worse=None)
    import_thesis(tmp_path / "logs", layers, RunFolder(tmp_path / "run"))
    svg = (tmp_path / "run" / "report" / "figures" / "imported_loss.svg").read_text()
    width = float(re.search(r'viewBox="0 0 ([\d.]+) ', svg)[1])
    assert 400 < width < 800


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    name=st.sampled_from(sorted(LOGS)),
    cut=st.integers(0, 60),
    torn=st.binary(max_size=6) | st.text(max_size=40).map(str.encode),
)
def test_whatever_a_crash_leaves_is_read_or_refused_by_name(tmp_path, name, cut, torn):
    logs = write(tmp_path / "logs")
    (logs / name).write_bytes((LOGS[name].encode()[:cut]) + torn)
    refused = None
    try:
        found = read_logs(logs, LAYERS)
        record, (_, entries) = imported_record(found, logs), entries_of(found)
    except KvasirPruneError as error:
        refused = str(error)
    if refused:
        assert name in refused
    else:
        assert ImportedRecord.model_validate_json(record.model_dump_json()) == record
        removed = sum(isinstance(entry, Removed) for entry in entries)
        assert removed == sum(layer.removed or 0 for layer in record.layers)


def test_a_loss_that_was_no_number_is_a_gap(tmp_path):
    logs = write(tmp_path / "logs", loss="0.8 0.6 nan 0.45 inf 0.125")
    ledger, record, text = imported(logs, tmp_path / "run")
    losses = [entry.loss for entry in ledger.entries if isinstance(entry, Removed)]
    assert [math.isfinite(loss) for loss in losses] == [True, False, True, False, True]
    (series,) = (one for one in record["series"] if (one["split"], one["quantity"]) == LOSSES)
    assert series["values"] == [0.8, 0.6, None, 0.45, None, 0.125]
    row = next(line for line in text.splitlines() if line.startswith("| last ")).split("|")
    assert row[4].strip() == "\N{EN DASH}"
    assert record["turning_point"] is None


def test_an_empty_folder_or_a_used_one_is_refused(tmp_path):
    (tmp_path / "nothing").mkdir()
    with pytest.raises(KvasirPruneError, match="There are no logs"):
        import_thesis(tmp_path / "nothing", LAYERS, RunFolder(tmp_path / "run"))
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "mine.txt").write_text("mine")
    with pytest.raises(KvasirPruneError, match="not empty"):
        import_thesis(write(tmp_path / "logs"), LAYERS, RunFolder(tmp_path / "run"))
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["mine.txt"]
    with pytest.raises(KvasirPruneError, match="no folder"):
        import_thesis(tmp_path / "logs", LAYERS, RunFolder(tmp_path / "run" / "mine.txt"))
    (tmp_path / "empty").mkdir()
    page = import_thesis(tmp_path / "logs", LAYERS, RunFolder(tmp_path / "empty"))
    assert page.exists()


def test_the_command_imports_once_and_renews_its_report(tmp_path: Path, server: Server) -> None:
    write(tmp_path / "logs")
    command = ("import-thesis", "logs", "--layers", "conv:4,wide:12,last:6", "--run-dir", "run")
    assert server.call(*command, cwd=tmp_path).succeeded().out.split() == ["run/report/report.html"]
    page = (tmp_path / "run" / "report" / "report.html").read_text()
    assert page.count("<svg") == 3
    said = server.call("status", "run", cwd=tmp_path).succeeded().out
    assert "imported logs of 2020" in said
    assert "5 of 22 nodes" in said
    assert "0.80000 before, 0.12500 now" in said
    as_json = json.loads(server.call("status", "run", "--json", cwd=tmp_path).succeeded().out)
    assert (as_json["removed"], as_json["report"]) == (5, "run/report/report.html")
    shutil.rmtree(tmp_path / "run" / "report" / "figures")
    (tmp_path / "run" / "report" / "report.html").unlink()
    server.call("report", "run", cwd=tmp_path).succeeded()
    assert (tmp_path / "run" / "report" / "report.html").read_text() == page
    again = server.call(*command, cwd=tmp_path)
    assert again.code == 2
    assert "not empty" in again.err
    wrong = server.call("import-thesis", "logs", "--layers", "vgg", "--run-dir", "x", cwd=tmp_path)
    assert wrong.code == 2
    assert "first to last" in " ".join(wrong.err.split())


def test_the_command_knows_the_layers_of_vgg16(tmp_path: Path, server: Server) -> None:
    logs = write(tmp_path / "logs", important=None, zero=None, worse=None)
    (logs / "Pruning" / "removed.txt").write_text("4095 0 7 \n1 \n511 \n")
    command = ("import-thesis", "logs", "--layers", "vgg16", "--run-dir", "run")
    server.call(*command, cwd=tmp_path).succeeded()
    ledger = HDF5Ledger(tmp_path / "run" / "pruning.h5")
    assert [layer.name for layer in ledger.layers[:3]] == ["fc2", "fc1", "block5_conv3"]
    assert ledger.state.removed_by_name() == {
        "fc2": (4095, 0, 7),
        "fc1": (1,),
        "block5_conv3": (511,),
    }


def test_the_tables_are_csv_files_and_figures_have_their_captions(tmp_path):
    _, record, text = imported(write(tmp_path / "logs"), tmp_path / "run")
    tables = {
        path.stem: list(csv.DictReader(path.open(newline="")))
        for path in (tmp_path / "run" / "report" / "tables").iterdir()
    }
    assert {row["name"]: row["removed"] for row in tables["layers"]} == {
        "conv": "",
        "wide": "3",
        "last": "2",
    }
    values = {(row["removed"], row["split"], row["quantity"]): row for row in tables["evolution"]}
    assert len(values) == sum(len(one["values"]) for one in record["series"])
    assert float(values["2", "test", "loss"]["value"]) == 0.7
    assert {row["file"]: row["found"] for row in tables["found"]} == record["found"]
    for title in ("Loss while nodes were removed", "Accuracy while nodes were removed"):
        assert f"**{title}**" in text
    assert "lower is better" in text
    assert "| All layers | 22 | " in re.sub(" +", " ", text)
    assert "| 5 | 22.7% |" in re.sub(" +", " ", text)


def test_vgg16_is_named_from_the_first_convolution_to_fc2():
    layers = Vgg16(name="vgg16").hidden_layers
    assert len(layers) == 15
    assert (layers[0], layers[-1]) == (LayerSize("block1_conv1", 64), LayerSize("fc2", 4096))
    assert sum(layer.nodes for layer in layers) == 12_416


def test_a_changed_record_is_told_and_not_rendered(tmp_path):
    imported(write(tmp_path / "logs"), tmp_path / "run")
    path = tmp_path / "run" / "report" / "imported.json"
    path.write_text(path.read_text().replace("0.6", "0.7", 1))
    with pytest.raises(KvasirPruneError, match=r"damaged(.|\n)*does not match its digest"):
        renew_imported(RunFolder(tmp_path / "run"))


def test_what_a_killed_import_left_is_swept_and_a_link_is_followed(tmp_path):
    (tmp_path / ".real.importing-x1" / "run").mkdir(parents=True)
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    page = import_thesis(write(tmp_path / "logs"), LAYERS, RunFolder(tmp_path / "link"))
    assert page == tmp_path / "link" / "report" / "report.html"
    assert page.exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "logs", "real"]
