"""The report's words, read from `assets/captions.yaml`: titles, notes, alternatives, glossary."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from kvasir_prune.report.notation import printable, split_name

ASSETS = files("kvasir_prune.report") / "assets"


@dataclass(frozen=True)
class Words:
    """What is said about one table or figure.

    Attributes:
        title: one line, without a full stop.
        note: a sentence or two on how to read it; may be empty.
        alt: what a figure shows, for somebody who cannot see it; empty for tables.
        thesis: the counterpart in Charpentier (2020), such as "Table 5.1"; may be empty.
    """

    title: str
    note: str = ""
    alt: str = ""
    thesis: str = ""


def of_table(kind: str, split: str = "") -> Words:
    """Return the words of one kind of table; `split` names the images it is about.

    Raises:
        KeyError: no such kind of table.
    """
    return _words("tables", kind, split)


def of_figure(name: str, splits: tuple[str, ...] = ()) -> Words:
    """Return the words of a figure; one of `splits` may end its name, as in `confusion_delta_test`.

    Raises:
        KeyError: no such figure.
    """
    for split in splits:
        kind = name.removesuffix(f"_{split}")
        if kind != name and kind in captions()["figures"]:
            return _words("figures", kind, split)
    return _words("figures", name, "")


def note(key: str, **facts: str) -> str:
    """Return the sentence that stands where there is nothing to show, or a caveat."""
    return str(captions()["notes"][key]).format(**facts)


def strategy(name: str) -> str:
    """Return the name of a strategy and what it does; of an unknown one the name alone."""
    told = captions()["strategies"].get(name)
    return printable(name) if told is None else f"{name.replace('_', ' ')}: {told}"


@cache
def checklist() -> list[dict[str, str]]:
    """Return the whole of `checklist.yaml`."""
    content = yaml.safe_load((ASSETS / "checklist.yaml").read_text(encoding="utf-8"))
    assert isinstance(content, list)
    return content


@cache
def captions() -> dict[str, Any]:
    """Return the whole of `captions.yaml`."""
    content = yaml.safe_load((ASSETS / "captions.yaml").read_text(encoding="utf-8"))
    assert isinstance(content, dict)
    return content


def _words(part: str, kind: str, split: str) -> Words:
    content = captions()
    name = split_name(split)
    said = {
        key: text.format(split=name, Split=name.capitalize())
        for key, text in content[part][kind].items()
    }
    by_split = content["thesis_of_split"].get(kind, {})
    return Words(**({"thesis": by_split.get(split, "")} | said))
