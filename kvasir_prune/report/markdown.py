"""The report as GitHub-flavoured Markdown, with links to figure files beside it.

The template's values are escaped by the environment's `finalize`; only `_Verbatim` passes as it is.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined

from kvasir_prune.report import captions
from kvasir_prune.report.captions import Words
from kvasir_prune.report.content import content
from kvasir_prune.report.schema import Record
from kvasir_prune.report.tables import Column, Table, splits

_SPECIAL = re.compile(
    r"[\\`*\[\]|~$#!]"
    r"|(?<![^\W_])_|_(?![^\W_])"  # inside a word an underscore is only itself
    r"|^[-+](?=\s)|^[-=](?=[-=])|(?<=^\d)[.)](?=\s)"  # would begin a list, a rule or a heading
)


class _Verbatim(str):
    """Markdown already."""

    __slots__ = ()


def render(record: Record, figure_files: Mapping[str, str]) -> str:
    """Render the report.

    Args:
        record: the whole of `report.json`.
        figure_files: for the name of each figure, the path of its file relative to the report. A
            sentence stands where one is absent.

    Returns:
        The text. The same arguments give the same text.
    """
    values = content(record)
    text = render_template(
        "report.md.j2",
        {
            **values,
            "caveat": lambda key: _caveat(values["caveats"].get(key)),
            "picture": lambda name: picture(
                captions.of_figure(name, splits(record)), name, figure_files
            ),
        },
    )
    return text + _fenced(record.provenance.config_yaml, "yaml")


def render_template(name: str, values: Mapping[str, Any]) -> str:
    """Fill one of the Markdown templates."""
    text = _environment().get_template(name).render(**values, grid=_grid, code=_code)
    return re.sub(r"\n{3,}", "\n\n", text)


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("kvasir_prune.report", "assets"),
        autoescape=False,
        finalize=_escaped,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def _escaped(value: object) -> object:
    if isinstance(value, _Verbatim):
        return value
    return _SPECIAL.sub(r"\\\g<0>", html.escape(str(value), quote=False))


def _caveat(sentence: str | None) -> _Verbatim:
    return _Verbatim("" if sentence is None else f"\n*{_escaped(sentence)}*")


def picture(words: Words, name: str, files: Mapping[str, str]) -> str:
    """Return a figure with its title and caption, as a template may set it.

    Args:
        words: of the figure.
        name: of the figure.
        files: as in `render`.
    """
    if name in files:
        image = f"![{_escaped(words.alt)}]({quote(files[name])})"
    else:
        image = f"*{_escaped(captions.note('figure_missing'))}*"
    return _Verbatim(f"{_heading(words)}\n{image}")


def _heading(words: Words) -> str:
    thesis = f" (thesis {words.thesis})" if words.thesis else ""
    note = f"{_escaped(words.note)}\n" if words.note else ""
    return f"\n**{_escaped(words.title)}**{thesis}\n\n{note}" + ("\n" if note else "")


def _grid(table: Table) -> _Verbatim:
    """Set a table, its columns padded so that the source reads well too."""
    body = [*table.rows, *([] if table.total is None else [table.total])]
    cells = [[str(_escaped(text)) for text in line] for line in (_heads(table), *body)]
    widths = [max(3, *map(len, column)) for column in zip(*cells, strict=True)]
    rule = [
        "-" * width if column.is_text else "-" * (width - 1) + ":"
        for width, column in zip(widths, table.columns, strict=True)
    ]
    padded = [
        [_pad(*cell) for cell in zip(line, widths, table.columns, strict=True)] for line in cells
    ]
    lines = ("| " + " | ".join(line) + " |" for line in [padded[0], rule, *padded[1:]])
    return _Verbatim(_heading(table.words) + "\n".join(lines))


def _heads(table: Table) -> Sequence[str]:
    if table.is_matrix:
        return [f"{table.columns[0].head} / predicted", *(c.head for c in table.columns[1:])]
    heads = (f"{column.group} {column.head}".strip() for column in table.columns)
    return [head[:1].upper() + head[1:] for head in heads]


def _pad(text: str, width: int, column: Column) -> str:
    return text.ljust(width) if column.is_text else text.rjust(width)


def _fenced(text: str, language: str) -> str:
    """Set a block of code in a fence longer than any row of backticks inside it."""
    fence = "`" * max(3, _longest_ticks(text) + 1)
    return f"{fence}{language}\n{text.rstrip()}\n{fence}\n"


def _code(text: str) -> _Verbatim:
    longest = _longest_ticks(text)
    ticks, gap = "`" * (longest + 1), " " if longest else ""
    return _Verbatim(f"{ticks}{gap}{' '.join(text.split())}{gap}{ticks}")


def _longest_ticks(text: str) -> int:
    return max((len(row) for row in re.findall(r"`+", text)), default=0)
