"""The report as one HTML file that opens offline: no scripts, no network, light, dark and print."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from kvasir_prune.report.captions import ASSETS
from kvasir_prune.report.content import content
from kvasir_prune.report.gallery import gallery, leaked_pairs, not_pictured
from kvasir_prune.report.judgement import FLIPS_LISTED
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
    shown = gallery(record, pictures)
    return render_template(
        "report.html.j2",
        {
            **content(record),
            "drawings": {name: Markup(svg) for name, svg in figures.items()},
            "gallery": shown,
            "not_pictured": not_pictured(record, len(shown)),
            "on_paper": FLIPS_LISTED,
            "pairs": leaked_pairs(record, pictures),
        },
    )


def render_template(name: str, values: Mapping[str, Any]) -> str:
    """Fill one of the HTML templates; the style sheet becomes part of the page."""
    style = Markup((ASSETS / "report.css").read_text(encoding="utf-8"))
    return _environment().get_template(name).render(**values, style=style)


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("kvasir_prune.report", "assets"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
