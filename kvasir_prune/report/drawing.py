"""The look of every figure, and the way from a Matplotlib figure to an SVG that fits any page.

An SVG is transparent; its text and axes take the colour of the page around it (`currentColor`), or,
in a file of its own, dark or light as the reader's system asks. Data colours are of Okabe and Ito's
palette for the colour-blind; blue is lightened, so that all have a contrast of three to one or more
on white and on near-black.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from xml.etree import ElementTree

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from scipy.optimize import isotonic_regression

from kvasir_prune.types import TEST, TRAIN, VALIDATION

BLUE, GREEN, VERMILLION = "#1f86c9", "#009e73", "#d55e00"
INK = "#010203"  # becomes currentColor
STYLES: dict[str, dict[str, Any]] = {
    TEST: {"color": VERMILLION, "linestyle": "-"},
    VALIDATION: {"color": GREEN, "linestyle": "--"},
    TRAIN: {"color": BLUE, "linestyle": (0, (1, 0.9)), "linewidth": 2.1},
}
FONT = "system-ui, -apple-system, 'Segoe UI', 'Helvetica Neue', Arial, sans-serif"

_SVG = "http://www.w3.org/2000/svg"
_XLINK_HREF = "{http://www.w3.org/1999/xlink}href"
_STANDALONE_STYLE = (
    "svg:root{color-scheme:light dark;color:#1d2125}"
    "@media screen and (prefers-color-scheme:dark){svg:root{color:#e3e6e9}}"
)
_RC = {
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.labelsize": 9,
    "axes.linewidth": 0.6,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "font.size": 9,
    "grid.alpha": 0.16,
    "grid.color": INK,
    "grid.linewidth": 0.6,
    "hatch.linewidth": 0.8,
    "lines.linewidth": 1.7,
    "svg.fonttype": "none",
    "svg.hashsalt": "kvasir_prune",
    "text.color": INK,
    "text.parse_math": False,
    "xtick.color": INK,
    "xtick.labelsize": 8.5,
    "xtick.major.width": 0.6,
    "ytick.color": INK,
    "ytick.labelsize": 8.5,
    "ytick.major.width": 0.6,
}


@contextmanager
def house_style() -> Iterator[None]:
    """Draw in the report's style, whatever the user's own Matplotlib settings are."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_RC)
        yield


def to_svg(figure: Figure, name: str, label: str) -> str:
    """Return a figure as one `<svg>` element, the same bytes for the same figure.

    Args:
        figure: drawn inside `house_style`, which must still be open.
        name: unique in the page; all identifiers inside begin with it.
        label: what the figure shows, for somebody who cannot see it.
    """
    stream = io.BytesIO()
    figure.savefig(
        stream,
        format="svg",
        transparent=True,
        bbox_inches="tight",
        pad_inches=0.04,
        metadata={"Date": None, "Creator": None},
    )
    root = ElementTree.fromstring(stream.getvalue())
    _drop_metadata_and_style(root)
    _adapt_attributes(root, name)
    root.attrib |= {
        "role": "img",
        "aria-label": label,
        "font-family": FONT,
        "stroke-linejoin": "round",
    }
    style = ElementTree.Element(f"{{{_SVG}}}style")
    style.text = _STANDALONE_STYLE
    root.insert(0, style)
    ElementTree.register_namespace("", _SVG)
    return ElementTree.tostring(root, encoding="unicode") + "\n"


def spread(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Move labels as little as possible (least squares) until they are `gap` apart.

    Args:
        wanted: the places the labels belong to, ascending.
        gap: the least distance of two labels; shrunk where there is no room for it.
        low: the lowest place allowed.
        high: the highest place allowed.

    Returns:
        The places of the labels, ascending.
    """
    if not wanted:
        return []
    last = len(wanted) - 1
    gap = min(gap, (high - low) / last) if last else gap
    steps = gap * np.arange(len(wanted))
    placed = isotonic_regression(np.asarray(wanted) - steps).x
    return [float(place) for place in np.clip(placed, low, high - gap * last) + steps]


def _drop_metadata_and_style(root: ElementTree.Element) -> None:
    """Matplotlib's style sheet speaks of every element (`*`): in a page, of the page's as well."""
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in (f"{{{_SVG}}}metadata", f"{{{_SVG}}}style"):
                parent.remove(child)


def _adapt_attributes(root: ElementTree.Element, name: str) -> None:
    """Keep the identifiers that are used, prefixed by `name`; take ink and font from the root."""
    used = {
        target
        for element in root.iter()
        for key, value in element.attrib.items()
        if key != "id"
        for target in re.findall(r"#([\w.-]+)", value)
    }
    for element in root.iter():
        element.attrib = {
            "href" if key == _XLINK_HREF else key: _adapted(key, value, name)
            for key, value in element.attrib.items()
            if key != "id" or value in used
        }


def _adapted(key: str, value: str, name: str) -> str:
    if key == "id":
        return f"{name}-{value}"
    if key == _XLINK_HREF:
        return value.replace("#", f"#{name}-", 1)
    value = value.replace("url(#", f"url(#{name}-").replace(INK, "currentColor")
    if key == "style":
        value = re.sub(r"font-family: [^;]*(; )?", "", value)
        value = re.sub(r"font: ([^;]*?)([\d.]+px) [^;]*", r"\1font-size: \2", value)
    return value


def bare(axes: Any) -> None:
    """Take frame and tick marks away from axes whose content needs none."""
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.tick_params(length=0)
