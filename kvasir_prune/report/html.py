"""The report as one HTML file that opens offline: no scripts, no network, light, dark and print."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from kvasir_prune.report.captions import ASSETS
from kvasir_prune.report.content import content
from kvasir_prune.report.gallery import gallery, leaked_pairs
from kvasir_prune.report.schema import Record

_NO_PICTURES: Mapping[str, bytes] = {}


def render(
    record: Record, figures: Mapping[str, str], pictures: Mapping[str, bytes] = _NO_PICTURES
) -> str:
    """Render the report.

    Args:
        record: the whole of `report.json`.
        figures: SVG texts by name, as `figures.draw` returns them; they are set as they are. A
            sentence stands where one is absent.
        pictures: small JPEG files by the paths of their images; they become part of the page.

    Returns:
        The page. The same record and figures give the same text.
    """
    return _template().render(
        **content(record),
        drawings={name: Markup(svg) for name, svg in figures.items()},
        gallery=gallery(record, pictures),
        pairs=leaked_pairs(record, pictures),
        style=Markup((ASSETS / "report.css").read_text(encoding="utf-8")),
    )


@cache
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("kvasir_prune.report", "assets"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template("report.html.j2")
