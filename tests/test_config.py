"""The configuration: every fault at once with its place, numbers, overrides, identity, schema."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from kvasir_prune.config import RunConfig, digest, dump, identity, load_config, sealed, validate
from kvasir_prune.errors import ConfigError, Fault

MINIMAL = "name: a\ndata: {source: digits}\nmodel: {name: ann}\n"
FULL = """
name: full
description: every section
seed: 1
data: {source: image_folder, root: images, manifest: m.csv, group_by: patient}
model: {name: vgg16, width: 0.5}
training: {optimizer: {name: sgd}, early_stopping: {patience: 3}}
importance: {layers: [fc1, fc2]}
"""
COSMETIC_KEYS = {
    "name",
    "description",
    "data.root",
    "data.cache_dir",
    "data.url",
    "training.commit_every_s",
    "pruning.commit_every_s",
    "pruning.verify_every",
    "evaluation.latency_s",
    "report.non_inferiority_margin",
    "report.abnormal",
    "runtime.threads",
}
SHIPPED = sorted((Path(__file__).parents[1] / "configs").glob("*.yaml"))


def load(folder: Path, text: str, *overrides: str) -> RunConfig:
    path = folder / "run.yaml"
    path.write_text(text, encoding="utf-8")
    return load_config(path, overrides)


def refused(folder: Path, text: str, *overrides: str) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        load(folder, text, *overrides)
    return caught.value


def only_fault(folder: Path, text: str, *overrides: str) -> Fault:
    faults = refused(folder, text, *overrides).faults
    assert len(faults) == 1, faults
    return faults[0]


def minimal(**changes: Any) -> dict[str, Any]:
    return {**yaml.safe_load(MINIMAL), **changes}


# Faults


def test_every_fault_is_listed_at_once(tmp_path: Path) -> None:
    error = refused(
        tmp_path,
        """
nam: many
data: {source: imagefolder}
model: {width: 1}
training: {max_epochs: many, optimizer: {name: adam, lerning_rate: 1}}
importance: {low: 1, high: 0}
pruning: {strategy: gredy, layers: [fc1, 2], ignore_below: .inf}
evaluation: {batch_size: 0}
""",
    )
    assert {fault.path for fault in error.faults} == {
        "nam",
        "name",
        "data.source",
        "model.name",
        "training.max_epochs",
        "training.optimizer.lerning_rate",
        "importance",
        "pruning.strategy",
        "pruning.layers[1]",
        "pruning.ignore_below",
        "evaluation.batch_size",
    }
    assert error.exit_code == 2
    assert "11 faults" in str(error)
    assert all(str(fault) in str(error) for fault in error.faults)
    assert str(tmp_path / "run.yaml") in str(error)


@pytest.mark.parametrize(
    ("lines", "path", "got", "allowed"),
    [
        ("seed: many", "seed", "'many'", "integer"),
        ("seed: 1.5", "seed", "1.5", "integer"),
        ("seed: '1'", "seed", "'1'", "integer"),
        ("seed: true", "seed", "True", "integer"),
        ("seed: -1", "seed", "-1", "greater than or equal to 0"),
        ("seed: 4294967296", "seed", "4294967296", "less than 4294967296"),
        ("importance: {low: '1e-5'}", "importance.low", "'1e-5'", "number"),
        ("importance: {low: .nan}", "importance.low", "nan", "finite"),
        ("pruning: {layers: []}", "pruning.layers", "[]", "at least 1 item"),
        ("pruning: {layers: fc1}", "pruning.layers", "'fc1'", "list"),
        ("pruning: [greedy]", "pruning", "['greedy']", "dictionary"),
        ("training: 3", "training", "3", "dictionary"),
        ("evaluation: {batch_size: 0}", "evaluation.batch_size", "0", "greater than or equal to 1"),
        ("training: {early_stopping: true}", "training.early_stopping", "True", "dictionary"),
    ],
)
def test_a_wrong_value_is_named_with_what_is_allowed(
    tmp_path: Path, lines: str, path: str, got: str, allowed: str
) -> None:
    fault = only_fault(tmp_path, MINIMAL + lines + "\n")
    assert (fault.path, fault.got) == (path, got)
    assert fault.allowed is not None
    assert allowed in fault.allowed
    assert all(part in str(fault) for part in (path, got, allowed))


@pytest.mark.parametrize(
    ("text", "path", "suggestion"),
    [
        (MINIMAL + "sed: 1", "sed", "seed"),
        (MINIMAL + "trainig: {}", "trainig", "training"),
        (MINIMAL + "training: {max_epoch: 3}", "training.max_epoch", "max_epochs"),
        (
            MINIMAL + "training: {optimizer: {name: sgd, momentun: 0.5}}",
            "training.optimizer.momentun",
            "momentum",
        ),
        (
            "name: a\ndata: {source: image_folder, manifst: m.csv}\nmodel: {name: ann}",
            "data.manifst",
            "manifest",
        ),
        (
            "name: a\ndata: {source: digits, fractions: {trian: 0.7}}\nmodel: {name: ann}",
            "data.fractions.trian",
            "train",
        ),
        ("name: a\ndata: {source: digits}\nmodel: {name: vgg16, widht: 1}", "model.widht", "width"),
    ],
)
def test_a_misspelt_key_gets_the_nearest_known_one(
    tmp_path: Path, text: str, path: str, suggestion: str
) -> None:
    fault = only_fault(tmp_path, text)
    assert (fault.path, fault.problem) == (path, "is not a known key")
    assert fault.suggestion == suggestion
    assert suggestion in (fault.allowed or "").split(", ")


def test_a_key_like_no_other_gets_no_suggestion(tmp_path: Path) -> None:
    assert only_fault(tmp_path, MINIMAL + "zzzzzz: 1").suggestion is None


def test_the_known_keys_are_those_of_the_chosen_member(tmp_path: Path) -> None:
    of_sgd = "training: {optimizer: {name: sgd, beta_1: 0.9}}"
    fault = only_fault(tmp_path, MINIMAL + of_sgd)
    assert (fault.allowed or "").split(", ") == ["learning_rate", "momentum", "name", "nesterov"]


@pytest.mark.parametrize(
    ("text", "path", "suggestion", "among"),
    [
        ("name: a\ndata: {source: digit}\nmodel: {name: ann}", "data.source", "digits", "cifar10"),
        ("name: a\ndata: {source: digits}\nmodel: {name: vgg}", "model.name", "vgg16", "mlp"),
        (MINIMAL + "training: {optimizer: {name: adm}}", "training.optimizer.name", "adam", "sgd"),
        (MINIMAL + "pruning: {strategy: gredy}", "pruning.strategy", "greedy", "exhaustive"),
    ],
)
def test_a_misspelt_choice_gets_the_nearest_known_one(
    tmp_path: Path, text: str, path: str, suggestion: str, among: str
) -> None:
    fault = only_fault(tmp_path, text)
    assert (fault.path, fault.suggestion) == (path, suggestion)
    assert {suggestion, among} <= set((fault.allowed or "").split(", "))


def test_missing_keys_are_named(tmp_path: Path) -> None:
    error = refused(tmp_path, "data: {root: x}\n")
    assert {fault.path: fault.problem for fault in error.faults} == {
        "name": "is missing",
        "data.source": "is missing",
        "model": "is missing",
    }


@pytest.mark.parametrize(
    ("lines", "path", "words"),
    [
        ("importance: {low: 1.0e-4, high: 1.0e-5}", "importance", "must not exceed"),
        (
            "pruning: {ignore_below: -1.0e-5}",
            "pruning.ignore_below",
            "must lie below importance.low",
        ),
        ("pruning: {strategy: random}", "pruning", "random needs nodes"),
        (
            "pruning: {strategy: random_while_improving, tries: 64}",
            "pruning",
            "random_while_improving needs nodes_at_a_time and tries",
        ),
        ("pruning: {nodes: 16}", "pruning", "greedy does not read nodes"),
        (
            "pruning: {strategy: random, nodes: 16, tries: 64}",
            "pruning",
            "random does not read tries",
        ),
        (
            "pruning: {strategy: pre_calculated}\nimportance: {layers: [fc1]}",
            "pruning.layers",
            "can only prune layers that importance.layers measures (fc1)",
        ),
        (
            "pruning: {strategy: pre_calculated, layers: [fc1, fc2]}\nimportance: {layers: [fc1]}",
            "pruning.layers",
            "can only prune layers",
        ),
    ],
)
def test_values_that_contradict_each_other(
    tmp_path: Path, lines: str, path: str, words: str
) -> None:
    fault = only_fault(tmp_path, MINIMAL + lines)
    assert fault.path == path
    assert words in fault.problem


@pytest.mark.parametrize(
    "lines",
    [
        "pruning: {strategy: random, nodes: 16}",
        "pruning: {strategy: random_while_improving, nodes_at_a_time: 1, tries: 64}",
        "pruning: {strategy: pre_calculated}",
        "pruning: {strategy: pre_calculated, layers: [fc1]}\nimportance: {layers: [fc2, fc1]}",
    ],
)
def test_a_strategy_with_its_keys_is_accepted_and_written_back(tmp_path: Path, lines: str) -> None:
    config = load(tmp_path, MINIMAL + lines)
    assert RunConfig.model_validate(yaml.safe_load(dump(config))) == config


@pytest.mark.parametrize("shares", ["train: 0.8", "train: 1.0, validation: 0.0, test: 0.0"])
def test_fractions_must_be_a_division(tmp_path: Path, shares: str) -> None:
    text = f"name: a\ndata: {{source: digits, fractions: {{{shares}}}}}\nmodel: {{name: ann}}"
    assert only_fault(tmp_path, text).path == "data.fractions"


@pytest.mark.parametrize("change", ["width: 0.5", "batch_norm: true"])
def test_imagenet_weights_demand_the_whole_network(tmp_path: Path, change: str) -> None:
    text = f"name: a\ndata: {{source: digits}}\nmodel: {{name: vgg16, weights: imagenet, {change}}}"
    assert only_fault(tmp_path, text).path == "model"


@pytest.mark.parametrize("name", ["../up", "a/b", ".hidden", "-x", "a b", "''"])
def test_a_run_name_cannot_lead_out_of_its_folder(tmp_path: Path, name: str) -> None:
    assert only_fault(tmp_path, MINIMAL.replace("name: a\n", f"name: {name}\n")).path == "name"


# Files


def test_a_second_key_of_the_same_name_is_a_fault(tmp_path: Path) -> None:
    fault = only_fault(tmp_path, MINIMAL + "training:\n  max_epochs: 1\n  max_epochs: 2\n")
    assert fault.path == "line 6, column 3"
    assert '"max_epochs" stands twice' in fault.problem


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "an empty file"),
        (b"# nothing but a comment\n", "an empty file"),
        (b"- a\n- b\n", "list"),
        (b"42\n", "int"),
        (b"name: [a\n", "line 2"),
        (b"name: 'a\n", "not valid YAML"),
        (b"name: a\n\tdata: b\n", "line 2"),
        (b"name: \x00\n", "not valid YAML"),
        (b"name: \xff\xfe\n", "not UTF-8"),
        (b"name: !!python/object/apply:os.getcwd []\n", "not valid YAML"),
        (b"name: a\n---\nname: b\n", "another document"),
    ],
)
def test_a_file_that_is_no_mapping_of_keys(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "run.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert len(caught.value.faults) == 1
    assert words in str(caught.value)
    assert caught.value.where == path


@pytest.mark.parametrize("name", ["absent.yaml", "."])
def test_a_file_that_cannot_be_read(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(tmp_path / name)


@pytest.mark.parametrize(
    "lines",
    [
        "? [a, b]\n: 3\n",
        "? {a: b}\n: 3\n",
        "seed: 2026-13-45\n",
        "1: 2\n",
    ],
)
def test_odd_keys_and_values_are_faults_and_no_crash(tmp_path: Path, lines: str) -> None:
    assert refused(tmp_path, MINIMAL + lines).faults


def test_a_merge_key_is_understood(tmp_path: Path) -> None:
    text = "name: a\ndata: {source: digits}\nmodel: &m {name: ann}\ntraining: {optimizer: %s}\n"
    config = load(tmp_path, text % "{<<: {name: sgd, momentum: 0.5}, momentum: 0.25}")
    assert config.training.optimizer.model_dump()["momentum"] == 0.25


# Numbers


@pytest.mark.parametrize(
    ("text", "value"),
    [("-1e-5", -1e-5), ("-1E-5", -1e-5), ("-1.0e-5", -1e-5), ("-.5e-4", -5e-5), ("-1e+0", -1.0)],
)
def test_a_number_with_an_exponent_is_a_number(tmp_path: Path, text: str, value: float) -> None:
    lines = f"importance: {{low: {text}}}\npruning: {{ignore_below: null}}\n"
    assert load(tmp_path, MINIMAL + lines).importance.low == value


def test_a_whole_number_may_stand_for_a_fraction(tmp_path: Path) -> None:
    config = load(tmp_path, MINIMAL + "training: {optimizer: {name: sgd, learning_rate: 1}}")
    assert config.training.optimizer.learning_rate == 1.0
    assert isinstance(config.training.optimizer.learning_rate, float)


# Overrides


def test_overrides_reach_every_depth_and_later_ones_win(tmp_path: Path) -> None:
    config = load(
        tmp_path,
        MINIMAL + "training: {max_epochs: 3, batch_size: 8}\n",
        "seed=7",
        "training.max_epochs=9",
        "data.fractions={train: 0.8, validation: 0.1, test: 0.1}",
        "importance.layers=[hidden]",
        "importance.low=-1e-7",
        "pruning.ignore_below=null",
        "training.optimizer={name: sgd, momentum: 0.25}",
        "training.optimizer.momentum=0.5",
        "description=a=b, c",
    )
    assert (config.seed, config.training.max_epochs, config.training.batch_size) == (7, 9, 8)
    assert config.data.fractions.train == 0.8
    assert config.importance.layers == ["hidden"]
    assert (config.importance.low, config.pruning.ignore_below) == (-1e-7, None)
    assert config.training.optimizer.model_dump()["momentum"] == 0.5
    assert config.description == "a=b, c"


def test_an_override_leaves_the_file_alone(tmp_path: Path) -> None:
    load(tmp_path, MINIMAL, "seed=7")
    assert (tmp_path / "run.yaml").read_text() == MINIMAL


@pytest.mark.parametrize("override", ["seed", "=3", ".seed=3", "a..b=3", "training.=3", ""])
def test_an_override_of_no_such_form(tmp_path: Path, override: str) -> None:
    fault = only_fault(tmp_path, MINIMAL, override)
    assert fault.path == "--set"
    assert fault.got == repr(override)
    assert "a.b=value" in fault.problem


def test_an_override_that_is_no_yaml(tmp_path: Path) -> None:
    error = refused(tmp_path, MINIMAL, "seed=[1")
    assert error.where == "--set seed=[1"
    assert "not valid YAML" in str(error)


def test_a_wrong_override_is_a_fault_like_any_other(tmp_path: Path) -> None:
    assert only_fault(tmp_path, MINIMAL, "seed=").path == "seed"
    assert only_fault(tmp_path, MINIMAL, "training.max_epoch=1").suggestion == "max_epochs"
    assert only_fault(tmp_path, MINIMAL, "name.deeper=1").path == "name"


# Round trip

TEXTS = st.text(st.characters(codec="utf-8"), max_size=40)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
LAYERS = st.none() | st.lists(TEXTS, min_size=1, max_size=3)
RATES = st.floats(min_value=0.0, max_value=1.0, exclude_max=True)
STEPS = st.floats(min_value=0.0, exclude_min=True, allow_infinity=False)


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    ignore, low, high = sorted(draw(st.lists(FLOATS, min_size=3, max_size=3, unique=True)))
    folder = {"root": draw(st.none() | TEXTS), "max_deviation": draw(st.floats(0.0, 1.0))}
    source = st.sampled_from(["image_folder", "kvasir_v2", "synthetic_endoscopy"])
    return {
        "name": draw(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}", fullmatch=True)),
        "description": draw(TEXTS),
        "seed": draw(st.integers(0, 2**32 - 1)),
        "data": draw(
            source.map(lambda name: {"source": name, **folder})
            | st.just({"source": "mnist", "limit_per_class": 3})
        ),
        "model": draw(
            st.builds(lambda rate: {"name": "mlp", "dropout": rate}, RATES)
            | st.just({"name": "vgg16", "weights": "imagenet"})
            | st.just({"name": "cnn", "input_side_px": 32})
        ),
        "training": {
            "optimizer": draw(
                st.builds(
                    lambda a, b: {"name": "sgd", "learning_rate": a, "momentum": b}, STEPS, RATES
                )
                | st.builds(lambda a: {"name": "adam", "epsilon": a}, STEPS)
            ),
            "early_stopping": draw(st.none() | st.just({"patience": 2, "min_delta": 1e-4})),
        },
        "importance": {"low": low, "high": high, "layers": draw(LAYERS)},
        "pruning": {"ignore_below": draw(st.none() | st.just(ignore)), "layers": draw(LAYERS)},
    }


@given(documents())
def test_what_is_written_is_what_was_read(
    tmp_path_factory: pytest.TempPathFactory, document: dict[str, Any]
) -> None:
    config = validate(document, source="a document")
    path = tmp_path_factory.getbasetemp() / "dumped.yaml"
    path.write_text(dump(config), encoding="utf-8", newline="\n")
    again = load_config(path)
    assert again == config
    assert digest(again) == digest(config)


@pytest.mark.parametrize("text", ["a\x85<", "\U000ddbc0\x85b", "x\u2028y", "line\nbreak\n\n"])
def test_texts_with_rare_line_ends_come_back(tmp_path: Path, text: str) -> None:
    config = validate(minimal(description=text), source="a document")
    assert load(tmp_path, dump(config)) == config


@pytest.mark.parametrize("text", ["1e5", "1.e5", "9e9", "1e-5"])
def test_a_text_that_looks_like_a_number_stays_a_text(tmp_path: Path, text: str) -> None:
    config = validate(minimal(name=text, description=text), source="a document")
    assert load(tmp_path, dump(config)) == config


def test_a_configuration_cannot_be_changed() -> None:
    config = validate(minimal(), source="a document")
    with pytest.raises(ValidationError, match="frozen"):
        config.seed = 3  # type: ignore[misc]
    with pytest.raises(ValidationError, match="frozen"):
        config.training.max_epochs = 3  # type: ignore[misc]


# Identity


def leaves(value: dict[str, Any], prefix: str = "") -> Iterator[str]:
    for key, below in value.items():
        if isinstance(below, dict):
            yield from leaves(below, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"


@pytest.mark.parametrize(
    "data",
    [
        "{source: image_folder}",
        "{source: kvasir_v2}",
        "{source: synthetic_endoscopy}",
        "{source: digits}",
    ],
)
def test_identity_is_every_key_that_is_not_cosmetic(tmp_path: Path, data: str) -> None:
    config = load(tmp_path, FULL, f"data={data}")
    later = {
        *("data.blank", "pruning.draw", "training.rerandomisation"),
        "evaluation.every_removals",
    }
    assert set(identity(config)) == set(leaves(config.model_dump())) - COSMETIC_KEYS - later
    json.dumps(identity(config))


def test_a_later_key_counts_once_it_is_used(tmp_path: Path) -> None:
    """Runs that were begun before there was data.blank go on."""
    data = "data={source: image_folder}"
    before, unused, used = (
        identity(load(tmp_path, FULL, data, *more))
        for more in ((), ("data.blank=[]",), ("data.blank=[[0, 0, 1, 0.5]]",))
    )
    assert before == unused
    assert used == {**before, "data.blank": [[0.0, 0.0, 1.0, 0.5]]}


@pytest.mark.parametrize(
    "override",
    [
        "name=other",
        "description=other",
        "data.root=elsewhere",
        "data.cache_dir=elsewhere",
        "pruning.commit_every_s=60.0",
        "training.commit_every_s=60.0",
        "evaluation.latency_s=0",
        "runtime.threads=3",
        "report.non_inferiority_margin=0.01",
        "report.class_groups={sick: [polyps]}",
    ],
)
def test_a_cosmetic_change_keeps_the_identity(tmp_path: Path, override: str) -> None:
    before, after = load(tmp_path, FULL), load(tmp_path, FULL, override)
    assert before != after
    assert identity(before) == identity(after)
    assert digest(before) == digest(after)


@pytest.mark.parametrize(
    ("override", "key"),
    [
        ("seed=2", "seed"),
        ("data.group_by=video", "data.group_by"),
        ("data.manifest=n.csv", "data.manifest"),
        ("data.limit_per_class=5", "data.limit_per_class"),
        ("data.on_bad_image=skip", "data.on_bad_image"),
        ("model.width=0.25", "model.width"),
        ("model.initializer=he_normal", "model.initializer"),
        ("training.batch_size=64", "training.batch_size"),
        ("training.early_stopping.patience=4", "training.early_stopping.patience"),
        ("training.optimizer.momentum=0.5", "training.optimizer.momentum"),
        ("importance.low=-2e-5", "importance.low"),
        ("importance.layers=[fc1]", "importance.layers"),
        ("importance.batch_size=8", "importance.batch_size"),
        ("pruning.strategy=exhaustive", "pruning.strategy"),
        ("pruning.ignore_below=null", "pruning.ignore_below"),
        ("evaluation.batch_size=8", "evaluation.batch_size"),
    ],
)
def test_any_other_change_is_another_run(tmp_path: Path, override: str, key: str) -> None:
    before, after = load(tmp_path, FULL), load(tmp_path, FULL, override)
    changed = {name for name in identity(before) if identity(before)[name] != identity(after)[name]}
    assert changed == {key}
    assert digest(before) != digest(after)


@pytest.mark.parametrize("key", ["nodes_at_a_time", "tries"])
def test_another_number_of_random_tries_is_another_run(tmp_path: Path, key: str) -> None:
    text = MINIMAL + "pruning: {strategy: random_while_improving, nodes_at_a_time: 2, tries: 64}"
    before, after = load(tmp_path, text), load(tmp_path, text, f"pruning.{key}=3")
    assert digest(before) != digest(after)


# JSON schema


ANY = "*"
"""Stands for the keys of a mapping whose keys are the user's own, such as names of classes."""


def schema_keys(schema: dict[str, Any], node: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Return key -> what may stand there, for every kind of mapping that may stand at `node`."""
    found: dict[str, list[dict[str, Any]]] = {}
    if "$ref" in node:
        return schema_keys(schema, schema["$defs"][node["$ref"].rsplit("/", 1)[-1]])
    for part in (*node.get("anyOf", ()), *node.get("oneOf", ())):
        for key, nodes in schema_keys(schema, part).items():
            found.setdefault(key, []).extend(nodes)
    if isinstance(node.get("additionalProperties"), dict):
        found[ANY] = [node["additionalProperties"]]
    for key, below in node.get("properties", {}).items():
        found.setdefault(key, []).append(below)
    return found


def unknown_to(schema: dict[str, Any], nodes: list[dict[str, Any]], value: object) -> list[str]:
    if not isinstance(value, dict):
        return []
    known: dict[str, list[dict[str, Any]]] = {}
    for node in nodes:
        for key, below in schema_keys(schema, node).items():
            known.setdefault(key, []).extend(below)
    if ANY in known:
        return []
    return [key for key in value if key not in known] + [
        f"{key}.{name}"
        for key, below in value.items()
        if key in known
        for name in unknown_to(schema, known[key], below)
    ]


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_the_json_schema_knows_every_key_of_the_shipped_configurations(path: Path) -> None:
    schema = json.loads(json.dumps(RunConfig.model_json_schema()))
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert unknown_to(schema, [schema], document) == []
    assert unknown_to(schema, [schema], {**document, "sed": 1}) == ["sed"]
    assert set(schema["required"]) == {"name", "data", "model"} <= set(document)


def test_the_json_schema_describes_every_key_and_allows_no_other() -> None:
    schema = RunConfig.model_json_schema()
    sections = [schema, *schema["$defs"].values()]
    assert all(section["additionalProperties"] is False for section in sections)
    undescribed = {
        (section["title"], key)
        for section in sections
        for key, node in section["properties"].items()
        if "description" not in node and "const" not in node
    }
    assert not undescribed


def test_what_a_run_wrote_is_refused_wherever_it_is_cut_off(tmp_path: Path) -> None:
    """Without its end it is valid YAML at many places, and another configuration at some."""
    path = tmp_path / "config.yaml"
    text = sealed(load_config(SHIPPED[0]))
    path.write_text(text)
    assert load_config(path) == load_config(SHIPPED[0])
    for length in range(len(text)):
        path.write_text(text[:length])
        with pytest.raises(ConfigError):
            load_config(path)
    path.write_text("".join(text.splitlines(keepends=True)[1:-1]))
    assert load_config(path), "somebody's own: both lines are gone"


# The shipped configurations


def test_ten_configurations_are_shipped() -> None:
    assert len(SHIPPED) == 10


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_shipped_configuration_is_valid_and_bears_the_name_of_its_file(path: Path) -> None:
    config = load_config(path)
    assert config.name == path.stem
    assert config.description
    assert RunConfig.model_validate(yaml.safe_load(dump(config))) == config


def test_exhaustive_pruning_has_no_use_for_a_threshold_to_ignore(tmp_path: Path) -> None:
    """The default of a key that the strategy never reads must not stand in the way."""
    path = tmp_path / "c.yaml"
    path.write_text("name: x\ndata: {source: digits}\nmodel: {name: ann}\n")
    overrides = ["pruning.strategy=exhaustive", "importance.low=-1e-4"]
    assert load_config(path, overrides).importance.low == -1e-4


@pytest.mark.parametrize("alone", ["manifest: m.csv", "group_by: patient"])
def test_a_manifest_without_groups_and_groups_without_a_manifest_are_faults(
    tmp_path: Path, alone: str
) -> None:
    """Silently ungrouped frames would leak between the splits."""
    path = tmp_path / "c.yaml"
    head = "name: x\nmodel: {name: ann}\ndata: {source: image_folder, root: r, "
    path.write_text(head + alone + "}\n")
    with pytest.raises(ConfigError, match="groups need both"):
        load_config(path)
