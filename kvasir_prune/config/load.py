"""From YAML and `--set` overrides to a validated configuration, or to every fault at once."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from kvasir_prune.config.faults import faults_of
from kvasir_prune.config.schema import RunConfig
from kvasir_prune.errors import ConfigError, Fault

SEAL = "# sha256 "
SEALED = "# Written by kvasir-prune; the last line is the SHA-256 of those before it.\n"
"""First line of such a file: without it one whose end is cut off would pass for somebody's own."""
"""How the last line of a configuration begins that a run has written into its folder."""


class _Loader(yaml.SafeLoader):
    """YAML 1.2's numbers (1e-5 is a number, not a text) and no silent second key."""


class _Dumper(yaml.SafeDumper):
    """Quotes what `_Loader` would take for a number, and escapes what YAML takes for a line end."""

    def represent_str(self, data: str) -> yaml.ScalarNode:
        """Write texts with NEL, LS or PS in double quotes; PyYAML folds them otherwise."""
        style = '"' if re.search("[\x85\u2028\u2029]", data) else None
        return self.represent_scalar("tag:yaml.org,2002:str", data, style=style)


_Dumper.add_representer(str, _Dumper.represent_str)

for _side in (_Loader, _Dumper):
    _side.add_implicit_resolver(
        "tag:yaml.org,2002:float",
        re.compile(r"^[-+]?(\d+(\.\d*)?|\.\d+)[eE][-+]?\d+$"),
        list("-+.0123456789"),
    )


def _mapping_without_duplicates(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: set[Any] = set()
    for key_node, _ in node.value:
        if key_node.tag == "tag:yaml.org,2002:merge":
            continue
        key = loader.construct_object(key_node, deep=True)
        if not isinstance(key, Hashable):
            raise yaml.MarkedYAMLError(
                problem="a key must be a plain word", problem_mark=key_node.start_mark
            )
        if key in seen:
            raise yaml.MarkedYAMLError(
                problem=f'the key "{key}" stands twice', problem_mark=key_node.start_mark
            )
        seen.add(key)
    loader.flatten_mapping(node)
    return {
        loader.construct_object(key, deep=True): loader.construct_object(value, deep=True)
        for key, value in node.value
    }


_Loader.add_constructor("tag:yaml.org,2002:map", _mapping_without_duplicates)


def load_config(path: Path, overrides: Sequence[str] = ()) -> RunConfig:
    """Read, override and validate a configuration.

    Args:
        path: a YAML file.
        overrides: texts `a.b=value`; the value is YAML.

    Raises:
        ConfigError: the file is missing or no YAML, an override has no such form, or the
            configuration is wrong; carries every fault with its YAML path.
    """
    document = parse(path)
    for override in overrides:
        apply(document, override)
    return validate(document, source=path)


def validate(document: dict[str, Any], *, source: object) -> RunConfig:
    """Validate a parsed document; raises `ConfigError` with every fault at once."""
    try:
        return RunConfig.model_validate(document)
    except ValidationError as error:
        raise ConfigError(source, faults_of(error, document, RunConfig)) from None


def dump(config: RunConfig) -> str:
    """Return the resolved configuration as YAML, every key written out."""
    return yaml.dump(config.model_dump(), Dumper=_Dumper, sort_keys=False, allow_unicode=True)


def sealed(config: RunConfig) -> str:
    """Return the resolved configuration as YAML with its own SHA-256 in a last line."""
    text = SEALED + dump(config)
    return f"{text}{SEAL}{hashlib.sha256(text.encode()).hexdigest()}\n"


def _check_seal(text: str, path: Path) -> None:
    """Refuse a file that is not what a run wrote; one without a seal is somebody's own."""
    *before, last = text.splitlines(keepends=True) or [""]
    if not (last.startswith(SEAL) or text.startswith(SEALED.strip())):
        return
    if last != f"{SEAL}{hashlib.sha256(''.join(before).encode()).hexdigest()}\n":
        problem = (
            "is not what the run wrote: it is damaged, or was changed. Give the file that the run "
            "was begun with; or, if it was changed on purpose, delete its first line and the line "
            f'"{SEAL}..."'
        )
        raise ConfigError(path, [Fault("(the file)", problem)])


def parse(path: Path) -> dict[str, Any]:
    """Read a YAML file that holds a mapping; raises `ConfigError`."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise ConfigError(path, [Fault("(the file)", f"cannot be read: {reason}")]) from None
    _check_seal(text, path)
    try:
        document = yaml.load(text, Loader=_Loader)
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(path, [_syntax_fault(error)]) from None
    return _mapping(document, path)


def _mapping(document: object, path: Path) -> dict[str, Any]:
    if isinstance(document, dict):
        return document
    found = "an empty file" if document is None else type(document).__name__
    raise ConfigError(path, [Fault("(the file)", "must be a mapping of keys to values", found)])


def _syntax_fault(error: yaml.YAMLError | ValueError) -> Fault:
    """Place what YAML's reader raised; it lets a ValueError through for a date like 2026-13-45."""
    mark = getattr(error, "problem_mark", None)
    where = f"line {mark.line + 1}, column {mark.column + 1}" if mark else "(the file)"
    return Fault(where, f"is not valid YAML: {getattr(error, 'problem', None) or error}")


def apply(document: dict[str, Any], override: str) -> None:
    """Set one key of a document, `a.b=value`; raises `ConfigError`."""
    path, equals, text = override.partition("=")
    keys = path.split(".")
    if not equals or not all(keys):
        raise ConfigError(
            f"--set {override}", [Fault("--set", "must look like a.b=value", repr(override))]
        )
    try:
        value = yaml.load(text, Loader=_Loader)
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(f"--set {override}", [_syntax_fault(error)]) from None
    put(document, path, value)


def put(document: dict[str, Any], path: str, value: object) -> None:
    """Set the key at a YAML path like `a.b`; sections that are not there are made."""
    *sections, last = path.split(".")
    target = document
    for key in sections:
        below = target.setdefault(key, {})
        if not isinstance(below, dict):
            below = target[key] = {}
        target = below
    target[last] = value
