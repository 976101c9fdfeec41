"""The report as a browser shows it: on a screen, in the dark, on paper."""

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from kvasir_prune.report.publishing import write_report
from tests.record_example import synthetic_record, thesis_record

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
# Width and height inside the margins of 15 and 16 mm, at 96 pixels an inch.
PAPERS = {"A4": (680, 1001), "Letter": (702, 934)}
SHEETS = {"A4": (0, 0, 596, 843), "Letter": (0, 0, 612, 792)}
PAGE_SIZE = re.compile(rb"/MediaBox ?\[(.*?)\]")
WIDER_THAN = """width => [...document.querySelectorAll("table, svg, img, pre")]
    .map(element => [element, element.getBoundingClientRect()])
    .filter(([_, box]) => box.width && box.right > width + 1)
    .map(([element, box]) => [element.closest("[id]").id, element.tagName, box.right])"""
OVERFLOWS = """[...document.querySelectorAll(".scroll")].map(element => [
    (element.querySelector("table") || element.parentElement).id,
    element.scrollWidth - element.clientWidth, element.tabIndex === 0])"""
HEADINGS = """[...document.querySelectorAll("table")]
    .filter(table => table.getBoundingClientRect().height)
    .map(table => [table.id, table.tBodies[0].rows[0].cells.length,
        table.tHead.getBoundingClientRect().height])"""
MANY = [f"class {i} of many" for i in range(23)]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("no Chromium is installed: set CHROMIUM, or apt-get install chromium")
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture(scope="module", params=["thesis", "many classes"])
def report(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    record = thesis_record() if request.param == "thesis" else synthetic_record(MANY)
    jpeg = bytes(cv2.imencode(".jpg", np.full((128, 128, 3), 120, np.uint8))[1])
    pictures = {flip.path: jpeg for flip in record.results.assessment.flips}
    return write_report(record, tmp_path_factory.mktemp("report"), pictures)


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    opened = browser.new_page(viewport={"width": 1100, "height": 900})
    yield opened
    opened.close()


def test_the_page_asks_for_nothing_and_complains_of_nothing(page, report):
    said, asked = [], []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(report.as_uri(), wait_until="networkidle")
    assert said == []
    assert [url for url in asked if not url.startswith("data:")] == [report.as_uri()]
    shown = page.evaluate("[...document.images].map(i => i.complete && i.naturalWidth)")
    assert all(shown)


def test_dark_mode_turns_the_page_dark_and_keeps_the_text_legible(page, report):
    def lightness(what: str) -> float:
        colour = page.evaluate(f"getComputedStyle(document.body).{what}")
        red, green, blue = map(float, colour[colour.index("(") + 1 : -1].split(",")[:3])
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    page.goto(report.as_uri())
    for scheme, is_dark in (("light", False), ("dark", True)):
        page.emulate_media(color_scheme=scheme)
        background, text = lightness("backgroundColor"), lightness("color")
        assert (background < text) is is_dark
        assert abs(background - text) > 150


def test_on_a_telephone_only_tables_and_figures_scroll_sideways(page, report):
    page.set_viewport_size({"width": 390, "height": 800})
    page.goto(report.as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


@pytest.mark.parametrize("width", [320, 390])
def test_whatever_overflows_can_be_reached_by_the_keyboard_and_words_never_do(page, report, width):
    page.set_viewport_size({"width": width, "height": 800})
    page.goto(report.as_uri())
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    found = page.evaluate(OVERFLOWS)
    assert [name for name, hidden, stops in found if hidden > 0 and not stops] == []
    assert sum(stops for _, _, stops in found) > 10
    assert [n for n, _, stops in found if n in ("table-checklist", "table-digests") and stops] == []
    # Otherwise a screen reader lists every table as a landmark of its own.
    assert page.evaluate("document.querySelectorAll('[role=region]').length") == 0


def test_headings_of_columns_are_seen_wherever_there_are_more_than_two(page, report):
    page.goto(report.as_uri())
    heights = page.evaluate(HEADINGS)
    assert len(heights) > 10
    assert [name for name, columns, height in heights if columns > 2 and height < 10] == []


@pytest.mark.parametrize("paper", PAPERS)
def test_nothing_is_cut_on_paper_and_the_summary_fits_a_page(page, report, paper):
    width, height = PAPERS[paper]
    page.set_viewport_size({"width": width, "height": height})
    page.emulate_media(media="print", color_scheme="dark")
    page.goto(report.as_uri())
    assert page.evaluate(WIDER_THAN, width) == []
    summary = page.evaluate(
        "document.querySelector('.summary').getBoundingClientRect().bottom + window.scrollY"
    )
    assert summary <= height
    assert page.evaluate("getComputedStyle(document.body).color") == "rgb(29, 33, 37)"
    pages = PAGE_SIZE.findall(page.pdf(format=paper, prefer_css_page_size=True))
    assert len(pages) > 5
    # Points of 1/72 inch; the style sheet leaves the size of the paper to the reader.
    assert {tuple(map(round, map(float, size.split()))) for size in pages} == {SHEETS[paper]}
