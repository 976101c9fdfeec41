"""The renderings of the report: what they say, how they are escaped, and that they stand alone."""

from __future__ import annotations

import re
import subprocess
import sys
from base64 import b64decode
from collections import Counter
from collections.abc import Iterator
from dataclasses import astuple
from functools import cache
from html.parser import HTMLParser
from itertools import pairwise
from typing import NamedTuple
from xml.etree import ElementTree

import matplotlib as mpl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from kvasir_prune.data.findings import LeakedPair
from kvasir_prune.evaluation.changes import Change
from kvasir_prune.evaluation.comparison import Comparison
from kvasir_prune.report import figures, html, markdown, notation
from kvasir_prune.report.drawing import spread
from kvasir_prune.report.judgement import METRICS
from kvasir_prune.report.schema import Assessment, Record
from tests.record_example import (
    CLASSES,
    TABLE_5_1,
    TABLE_5_2,
    TABLE_5_3,
    synthetic_record,
    thesis_record,
    with_results,
)

NASTY = ["<b>bold|name</b>", '$x_1$ "q" `c` *s* & [l](u) \\']
MANY = [f"class {i} of many" for i in range(23)]
VOID = {"meta", "br", "link", "img", "hr", "input"}
SPLITS = ("test", "validation", "train")


@cache
def record(kind: str) -> Record:
    if kind == "thesis":
        return thesis_record()
    if kind == "two classes, nothing removed":
        return synthetic_record(NASTY, nothing_removed=True, epochs=0)
    if kind == "no layers":
        return with_results(synthetic_record(["a", "b"], nothing_removed=True), layers=[])
    many = synthetic_record(MANY, empty_class=4, nothing_measured=True)
    return with_results(many, splits={"test": many.results.splits["test"]})


KINDS = ("thesis", "two classes, nothing removed", "no layers", "23 classes, one empty, test only")


@cache
def drawn(kind: str) -> dict[str, str]:
    return figures.draw(record(kind))


@cache
def page(kind: str) -> Page:
    return Page(html.render(record(kind), drawn(kind)))


def links(names: Iterator[str] | dict[str, str]) -> dict[str, str]:
    return {name: f"figures/{name}.svg" for name in names}


@cache
def markdown_page(kind: str) -> Page:
    source = markdown.render(record(kind), links(drawn(kind)))
    return Page(MarkdownIt("commonmark").enable("table").render(source))


class Page(HTMLParser):
    """What a reader's browser would find: elements, attributes, tables, text."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.tables: list[tuple[str | None, list[list[str]]]] = []
        self.headings: list[str] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(source)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)
        if tag == "table":
            self.tables.append((dict(attrs).get("id"), []))
        elif tag == "tr" and not {"thead", "caption"} & set(self._open):
            self.tables[-1][1].append([])
        elif tag in ("td", "th") and "thead" not in self._open:
            self.tables[-1][1][-1].append("")
        elif tag == "h2":
            self.headings.append("")

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        if "style" in self._open:
            return
        self.text += data
        inside = set(self._open)
        if inside & {"td", "th"} and "thead" not in inside:
            self.tables[-1][1][-1][-1] += data
        if "h2" in inside:
            self.headings[-1] += data

    def table(self, key: str) -> list[list[str]]:
        return dict(self.tables)[f"table-{key}"]

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def number(text: str) -> float | None:
    """Read a printed number; None where the report says that there is none."""
    if text in ("\N{EN DASH}", "not measured"):
        return None
    return float(text.replace("\N{MINUS SIGN}", "-").replace(",", "").replace("%", ""))


class Around(NamedTuple):
    """A quantity with an interval around it; printed by itself where that has no end."""

    value: float | None
    low: float | None
    high: float | None


class P(NamedTuple):
    """A p-value; beyond a bound, the bound is printed."""

    value: float | None


class Within(NamedTuple):
    """The numbers that stand in a sentence, in its order."""

    values: tuple[float, ...]


Cell = float | Around | P | Within | str | None


def assert_prints(text: str, value: Cell) -> None:
    """Check that a printed number is `value`, to the last digit printed."""
    if isinstance(value, str):
        assert squeezed(text) == squeezed(value)
        return
    if isinstance(value, Within):
        found = re.findall(r"\d[\d,]*(?:\.\d+)?", text)
        for one, inside in zip(found, value.values, strict=True):
            assert_prints(one, inside)
        return
    if isinstance(value, P):
        assert_prints_p(text, value.value)
        return
    if isinstance(value, Around):
        quantity, *ends = re.sub(r"[()]|\bto\b", " ", text).split()
        known = None not in (value.low, value.high)
        assert_prints(quantity, value.value)
        for end, expected in zip(ends, value[1:] if known else (), strict=True):
            assert_prints(end, expected)
        return
    printed = number(text)
    if value is None:
        assert printed is None
        return
    assert printed is not None, text
    digits = re.sub("e.*|%", "", text).partition(".")[2]
    half = 0 if text == "0" else 0.5 * 10 ** -len(digits)
    assert printed == pytest.approx(value, abs=half + 1e-9, rel=0), text


def assert_prints_p(text: str, p: float | None) -> None:
    if p is not None and text.startswith("<"):
        assert p < float(text[1:]) <= 0.001
    elif p is not None and text.startswith(">"):
        assert p > float(text[1:]) >= 0.99
    else:
        assert_prints(text, p)


IN_PERCENT = {
    *("accuracy", "balanced_accuracy", "macro_f1", "ece"),
    *("sensitivity", "specificity", "ppv", "npv", "f1"),
}
HAPPENED = {"lost": "now wrong", "changed": "wrong both times", "gained": "now right"}


def intervals_of(metric: str, change: Change) -> list[Cell]:
    scale = 100 if metric in IN_PERCENT else 1
    return [
        Around(*(None if end is None else scale * end for end in astuple(quantity)))
        for quantity in (change.before, change.after, change.difference)
    ]


def of_classes(kind: str, comparison: Comparison) -> dict[str, list[list[Cell]]]:
    return {
        f"{kind}_sensitivity": [
            [
                one.images,
                *intervals_of("sensitivity", one.metrics["sensitivity"]),
                *(one.mcnemar.lost, one.mcnemar.gained, P(one.mcnemar.p_holm)),
            ]
            for one in comparison.classes
        ],
        f"{kind}_metrics": [
            [METRICS[metric].head, *intervals_of(metric, change)]
            for one in comparison.classes
            for metric, change in one.metrics.items()
        ],
    }


def judged_of(assessment: Assessment) -> dict[str, list[list[Cell]]]:
    """Return what the tables of an assessment have to say."""
    whole, grouped = assessment.comparison, assessment.grouped
    test = whole.mcnemar
    return {
        "metrics": [intervals_of(name, change) for name, change in whole.overall.items()],
        **of_classes("classes", whole),
        **({} if grouped is None else of_classes("groups", grouped.comparison)),
        "shifts": [
            [Within((test.lost, test.gained)), P(test.p)],
            *(
                [Within(() if one.p is None else (one.statistic, one.degrees_of_freedom)), P(one.p)]
                for one in (whole.homogeneity, whole.symmetry)
            ),
        ],
        "flips": [
            [
                "disease missed" if flip.missed_disease else HAPPENED[flip.kind],
                *(flip.label, flip.before, 100 * flip.confidence_before),
                *(flip.after, 100 * flip.confidence_after),
            ]
            for flip in assessment.flips[:100]
        ],
    }


def numbers_of(record: Record) -> dict[str, list[list[Cell]]]:
    """Return every number of the record's tables, computed here once more."""
    expected: dict[str, list[list[Cell]]] = {"loss_accuracy": []}
    if record.results.assessment is not None:
        expected |= judged_of(record.results.assessment)
    for name in (split for split in SPLITS if split in record.results.splits):
        part, b, a = (
            record.results.splits[name],
            record.results.splits[name].before,
            record.results.splits[name].after,
        )
        expected["loss_accuracy"].append(
            [
                part.images,
                *(b.loss, a.loss, a.loss - b.loss),
                *(100 * b.accuracy, 100 * a.accuracy, 100 * (a.accuracy - b.accuracy)),
            ]
        )
        expected[f"sensitivity_{name}"] = [
            [
                images,
                None if was is None else 100 * was,
                None if now is None else 100 * now,
                None if was is None else 100 * (now - was),
                b.confusion_matrix[i][i],
                a.confusion_matrix[i][i],
                a.confusion_matrix[i][i] - b.confusion_matrix[i][i],
            ]
            for i, (images, was, now) in enumerate(
                zip(part.images_per_class, b.class_accuracy, a.class_accuracy, strict=True)
            )
        ]
        expected[f"confusion_delta_{name}"] = part.confusion_delta_percent
        expected[f"confusion_before_{name}"] = b.confusion_matrix
        expected[f"confusion_after_{name}"] = a.confusion_matrix
    expected["nodes_per_layer"] = [
        [ly.nodes, ly.important, ly.zero, ly.worse, ly.removed, 100 * ly.removed / ly.nodes]
        for ly in record.results.layers
    ]
    ends = {point.layer: point for point in record.results.evolution}
    expected["evolution"] = [
        [
            point.removed,
            *(getattr(point, name).loss for name in SPLITS),
            *(100 * getattr(point, name).accuracy for name in SPLITS),
        ]
        for point in ends.values()
    ]
    expected["latency"] = [
        [
            Around(one.median_ms, one.lower_quartile_ms, one.upper_quartile_ms)
            for one in record.provenance.latency
            if one.batch_size == size
        ]
        for size in (1, 32)
    ]
    expected["data_check"] = [
        [one.outcome, one.sentence] for one in record.results.data_check.findings
    ]
    expected["training"] = [
        [e.train_loss, e.validation_loss, 100 * e.train_accuracy, 100 * e.validation_accuracy]
        for e in record.results.training.epochs
    ]
    pairs = [
        (getattr(record.results.cost.before, key), getattr(record.results.cost.after, key))
        for key in ("parameters", "flops", "file_bytes")
    ]
    expected["cost"] = [
        [b, a, None if a is None else a - b, None if a is None else 100 * (a - b) / b]
        for b, a in pairs
    ]
    return expected


# What the tables say.


@pytest.mark.parametrize("kind", KINDS)
def test_html_prints_every_number_of_the_record(kind):
    for key, rows in numbers_of(record(kind)).items():
        if not rows:
            continue
        printed = page(kind).table(key)
        assert len(printed) - len(rows) in (0, 1)  # a total may follow
        for texts, values in zip(printed, rows, strict=False):
            for text, value in zip(texts[1:], values, strict=True):
                assert_prints(text, value)


def test_the_numbers_that_are_looked_for_tell_what_could_be_confused():
    """Before is not after, lost not gained, p not adjusted p: swapped, the tables would differ."""
    judged = record("thesis").results.assessment
    assert judged.grouped is not None
    for whole in (judged.comparison, judged.grouped.comparison):
        assert whole.mcnemar.lost != whole.mcnemar.gained
        for one in whole.classes:
            assert one.metrics["sensitivity"].before != one.metrics["sensitivity"].after
        assert any(one.mcnemar.lost != one.mcnemar.gained for one in whole.classes)
    tests = [one.mcnemar for one in judged.comparison.classes]
    assert sum(0.001 < test.p < test.p_holm < 0.99 for test in tests) > 3
    assert any(flip.missed_disease for flip in judged.flips)
    assert {flip.kind for flip in judged.flips} == {*HAPPENED}


@pytest.mark.parametrize("kind", KINDS)
def test_markdown_has_the_same_tables_as_html(kind):
    of_html = [rows for _, rows in page(kind).tables]
    of_markdown = [rows for _, rows in markdown_page(kind).tables]
    assert of_markdown == of_html


@pytest.mark.parametrize("kind", KINDS)
def test_markdown_has_the_same_sections_in_the_same_order_as_html(kind):
    assert markdown_page(kind).headings == page(kind).headings
    assert page(kind).headings[:2] == ["In short", "Before and after"]


def test_thesis_table_5_1_is_reproduced():
    for texts, name in zip(page("thesis").table("loss_accuracy"), SPLITS, strict=True):
        loss_before, accuracy_before, loss_after, accuracy_after = TABLE_5_1[name]
        assert [float(text) for text in texts[2:4]] == [loss_before, loss_after]
        assert [float(text) for text in texts[5:7]] == pytest.approx(
            [100 * accuracy_before, 100 * accuracy_after], abs=1e-9
        )


def test_thesis_table_5_2_is_reproduced_with_its_sums():
    printed = page("thesis").table("nodes_per_layer")
    for texts, (layer, *counts) in zip(printed, TABLE_5_2, strict=False):
        assert texts[0] == layer
        assert [number(text) for text in texts[1:6]] == counts
    sums = [sum(row[i] for row in TABLE_5_2) for i in range(1, 6)]
    assert [number(text) for text in printed[-1][1:6]] == sums


def test_thesis_table_5_3_is_reproduced():
    printed = page("thesis").table("confusion_delta_test")
    assert [row[0] for row in printed] == CLASSES
    assert [[number(text) for text in row[1:]] for row in printed] == TABLE_5_3


def test_evolution_table_ends_each_layer_in_the_order_of_pruning():
    printed = page("thesis").table("evolution")
    layers = [row[0] for row in reversed(TABLE_5_2)]
    assert [row[0] for row in printed] == ["(before pruning)", *layers]
    assert [number(row[1]) for row in printed[-2:]] == [4813 - 21, 4813]
    assert [number(text) for text in printed[-1][2:5]] == [0.4103, 0.1920, 0.2818]


def test_the_images_of_each_class_are_counted_in_each_set_with_their_share():
    printed = page("thesis").table("class_balance")
    assert printed[0] == [CLASSES[0], "150", "12.5%", "150", "12.5%", "700", "12.5%", "1,000"]
    assert [row[0] for row in printed] == [*CLASSES, "All classes"]
    totals = ["1,200", "100.0%", "1,200", "100.0%", "5,600", "100.0%", "8,000"]
    assert printed[-1][1:] == totals


def test_every_finding_stands_with_its_code_and_severity():
    findings = record("thesis").results.data_check.findings
    expected = [[f"{f.title} ({f.code}, {f.severity})", f.outcome] for f in findings]
    assert [row[:2] for row in page("thesis").table("data_check")] == expected


def test_files_found_are_files_used_and_files_skipped():
    found = dict(page("thesis").table("data"))
    assert (found["Image files read"], found["Images used"]) == ("8,002", "8,000")


def test_split_deviation_is_set_test_first():
    printed = page("thesis").table("split_deviation")
    assert printed[0] == [CLASSES[0], "\N{MINUS SIGN}0.15", "\N{MINUS SIGN}0.10", "+0.25"]


# What the summary says.


def both_texts(kind: str) -> list[str]:
    return [" ".join(p.text.split()) for p in (page(kind), markdown_page(kind))]


def test_summary_says_what_a_clinician_needs():
    for text in both_texts("thesis"):
        summary = text[text.index("In short") : text.index("One line for each image set.")]
        for fact in (
            "4,813 of 12,416 nodes (38.8%) were removed from 15 layers",
            "134.3 million",
            "77.7 million",
            "30.9 billion",
            "13.7 billion",
            "537.2 MB",
            "Accuracy on 1,200 test images",
            "87.25%",
            "84.67%",
            "esophagitis",
            "ulcerative-colitis",
            "\N{MINUS SIGN}12.67 points",
            "19 fewer of 150 images recognised",
            "normal-z-line",
            "11 more of 150 images recognised",
            "an accuracy of 87.2% before and 84.7% after, a change of "
            "\N{MINUS SIGN}2.6 percentage points",
            "By the accuracy, not shown: a fall of up to 2.0 points was to be acceptable",
            "images with disease (group pathological), 92.4% are called a disease before pruning",
            "Recognised as disease before pruning and missed after it: ",
            "At least 6 images must change, all in one direction",
            "With reservations. These checks of the images failed: borders and corners",
            "Not a medical device; intended for research.",
        ):
            assert fact in summary
        assert "The validation figures are optimistic: the nodes to remove were chosen" in text


@pytest.mark.parametrize(
    ("split", "sentence"),
    [
        ("train", "The training figures are optimistic"),
        ("test", "No image set is left that could judge the network fairly."),
    ],
)
def test_warning_names_the_split_the_nodes_were_chosen_on(split, sentence):
    pruning = record("thesis").results.pruning.model_copy(update={"scoring_split": split})
    changed = with_results(record("thesis"), pruning=pruning)
    assert sentence in html.render(changed, {})
    assert sentence in markdown.render(changed, {})


@pytest.mark.parametrize(
    ("strategy", "chosen"),
    [
        ("pre_calculated", "chosen by pre-calculated pruning on the validation images."),
        ("random", "chosen by random pruning."),
        (
            "random_while_improving",
            "chosen by random-while-improving pruning on the validation images.",
        ),
    ],
)
def test_the_strategy_is_named_and_only_what_looked_at_images_is_warned_of(strategy, chosen):
    pruning = record("thesis").results.pruning.model_copy(update={"strategy": strategy})
    changed = with_results(record("thesis"), pruning=pruning)
    for text in (html.render(changed, {}), markdown.render(changed, {})):
        assert chosen in text
        judged = strategy != "random"
        assert ("figures are optimistic" in text) is judged
        assert ("(nodes were chosen here)" in text) is judged
        assert ("another seed would have drawn others" in text) is not judged


def test_what_is_absent_is_said():
    for text in both_texts("two classes, nothing removed"):
        assert "No node was removed" in text
        assert "No class lost sensitivity on the test set." in text
        assert "there is no evolution to draw" in text
        assert "No training history was recorded" in text
        assert "No file was skipped." in text
    for text in both_texts("23 classes, one empty, test only"):
        assert "There are no test images of class 4 of many" in text
        assert "not measured" in text
    for text in both_texts("no layers"):
        assert "No layer was open to pruning." in text


def test_a_long_list_of_skipped_files_is_cut_with_their_number():
    data = record("thesis").results.data.model_copy(
        update={"skipped": [f"f{i}.jpg" for i in range(100)]}
    )
    text = html.render(with_results(record("thesis"), data=data), {})
    assert "f19.jpg; and 80 more" in text
    assert "f20.jpg" not in text


# The page by itself.


@pytest.mark.parametrize("kind", KINDS)
def test_html_needs_nothing_from_elsewhere(kind):
    source = html.render(record(kind), drawn(kind))
    found = page(kind)
    assert not {"script", "link", "iframe", "img", "base"} & {tag for tag, _ in found.elements}
    for _, attributes in found.elements:
        for key, value in attributes.items():
            if key in ("src", "href", "xlink:href"):
                assert value.startswith("#")
            assert key == "xmlns" or "//" not in (value or "")
    assert all(target.startswith("#") for target in re.findall(r"url\(\s*['\"]?(.)", source))
    assert "@import" not in source


@pytest.mark.parametrize("kind", KINDS)
def test_identifiers_are_unique_and_every_reference_has_its_target(kind):
    found = page(kind)
    identifiers = [attributes["id"] for _, attributes in found.elements if "id" in attributes]
    assert [key for key, times in Counter(identifiers).items() if times > 1] == []
    targets = set()
    for _, attributes in found.elements:
        if "href" in attributes:
            targets.add(attributes["href"].removeprefix("#"))
        if "aria-labelledby" in attributes:
            targets.add(attributes["aria-labelledby"])
        for value in attributes.values():
            targets.update(re.findall(r"url\(#([^)]+)\)", value or ""))
    assert targets <= set(identifiers)


@pytest.mark.parametrize("kind", KINDS)
def test_html_is_accessible(kind):
    found = page(kind)
    assert found.all("html")[0]["lang"] == "en"
    assert len(found.all("caption")) == len(found.all("table")) > 0
    assert all("scope" in attributes for attributes in found.all("th"))
    for attributes in found.all("svg"):
        assert attributes["role"] == "img"
        assert len(attributes["aria-label"]) > 40


@pytest.mark.parametrize("kind", KINDS)
def test_every_figure_drawn_is_shown_in_html_and_linked_in_markdown(kind):
    found = page(kind)
    shown = {a["id"] for a in found.all("figure")}
    assert shown == {f"figure-{name}" for name in drawn(kind)}
    assert len(found.all("svg")) == len(drawn(kind))
    sources = [attributes["src"] for attributes in markdown_page(kind).all("img")]
    assert sorted(sources) == sorted(links(drawn(kind)).values())
    assert all(attributes["alt"] for attributes in markdown_page(kind).all("img"))


def test_a_figure_that_is_missing_is_replaced_by_a_sentence():
    sentence = "This figure was not drawn"
    assert html.render(record("thesis"), {}).count(sentence) == len(drawn("thesis"))
    assert markdown.render(record("thesis"), {}).count(sentence) == len(drawn("thesis"))


def test_links_to_figures_survive_blanks_and_brackets_in_paths():
    name = "confusion_delta_test"
    source = markdown.render(record("thesis"), {name: "my figures (1)/a.svg"})
    images = Page(MarkdownIt("commonmark").enable("table").render(source)).all("img")
    assert [image["src"] for image in images] == ["my%20figures%20%281%29/a.svg"]


def test_near_duplicates_across_splits_are_shown_side_by_side():
    pairs = [
        LeakedPair(
            path=f"a{i}.jpg",
            split="test",
            label="polyp",
            other_path=f"b{i}.jpg",
            other_split="train",
            other_label="cecum",
            correlation=0.99,
        )
        for i in range(3)
    ]
    pictures = {name: name.encode() for name in ("a0.jpg", "b0.jpg", "a1.jpg", "a2.jpg", "b2.jpg")}
    plain = record("two classes, nothing removed")
    found = plain.results.data_check.model_copy(update={"leaked_pairs": pairs})
    shown = Page(html.render(with_results(plain, data_check=found), {}, pictures))
    images = [
        (b64decode(img["src"].partition(",")[2]).decode(), img["alt"]) for img in shown.all("img")
    ]
    expected = [
        ("a0.jpg", "Test"),
        ("b0.jpg", "Training"),
        ("a2.jpg", "Test"),
        ("b2.jpg", "Training"),
    ]
    assert images == [(name, f"{split} image {name}") for name, split in expected]
    assert (shown.text.count("test: polyp"), shown.text.count("training: cecum")) == (2, 2)
    assert "Near-duplicates across splits" in shown.text
    assert "Near-duplicates across splits" not in Page(html.render(plain, {}, pictures)).text


# Escaping.


def squeezed(text: str) -> str:
    return " ".join(text.split())


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.text(
            st.sampled_from("ab0_-+*`|<>&\"'$[]()!#~\\{}%. \n\N{LATIN SMALL LETTER O WITH STROKE}"),
            min_size=1,
            max_size=14,
        ).filter(lambda name: name.strip() != ""),
        min_size=2,
        max_size=3,
    )
)
def test_any_class_name_arrives_as_it_is(names):
    strange = synthetic_record(names).model_copy(
        update={"name": names[0], "description": names[1]},
    )
    expected = [squeezed(name) for name in names]
    of_html = Page(html.render(strange, {}))
    of_markdown = Page(
        MarkdownIt("commonmark").enable("table").render(markdown.render(strange, {}))
    )
    assert [squeezed(row[0]) for row in of_html.table("confusion_before_test")] == expected
    assert len(of_markdown.tables) == len(of_html.tables)
    for (_, rows), (_, rows_of_html) in zip(of_markdown.tables, of_html.tables, strict=True):
        assert [list(map(squeezed, row)) for row in rows] == [
            list(map(squeezed, row)) for row in rows_of_html
        ]
    for found in (of_html, of_markdown):
        assert f"{expected[0]}: pruning report" in squeezed(found.text)
        assert expected[1] in squeezed(found.text)
        assert found.all("b") == []


def test_layer_names_versions_and_configuration_are_escaped():
    strange = "<i>|`x`</i>"
    plain = synthetic_record(["a", "b"])
    layers = [
        plain.results.layers[0].model_copy(update={"name": strange}),
        *plain.results.layers[1:],
    ]
    evolution = [
        point.model_copy(update={"layer": point.layer and strange})
        for point in plain.results.evolution
    ]
    provenance = plain.provenance.model_copy(
        update={
            "command": f"run `{strange}`",
            "versions": {strange: strange},
            "config_yaml": f"a: {strange}\n\n\n\n```\nb: 1\n",
        }
    )
    changed = with_results(plain, layers=layers, evolution=evolution).model_copy(
        update={"provenance": provenance}
    )
    svgs = figures.draw(changed)
    assert svg_texts(svgs["evolution_loss_all"])[strange] == 1
    of_html = Page(html.render(changed, svgs))
    source = markdown.render(changed, {})
    of_markdown = Page(MarkdownIt("commonmark").enable("table").render(source))
    for found in (of_html, of_markdown):
        assert found.all("i") == []
        assert f"run `{strange}`" in found.text
        assert f"a: {strange}\n\n\n\n```\nb: 1" in found.text
        assert [strange, strange] in [row for _, rows in found.tables for row in rows]


# The figures.


@pytest.mark.parametrize("kind", KINDS)
def test_figures_are_plain_xml_that_takes_the_colour_of_the_page(kind):
    for name, svg in drawn(kind).items():
        root = ElementTree.fromstring(svg)
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        assert "currentColor" in svg
        assert "#010203" not in svg  # the ink the figures are drawn with
        assert "#ffffff" not in svg
        assert "metadata" not in svg
        styles = [e.text for e in root.iter() if e.tag.endswith("}style")]
        # inlined, a figure's style sheet must not speak of the page
        assert all(re.sub(r"@media[^{]*\{|svg:root\{[^}]*\}|\}", "", s) == "" for s in styles)
        identifiers = [e.get("id") for e in root.iter() if e.get("id")]
        assert all(identifier.startswith(f"{name}-") for identifier in identifiers)


def svg_texts(svg: str) -> Counter[str]:
    root = ElementTree.fromstring(svg)
    return Counter(e.text for e in root.iter() if e.tag.endswith("}text"))


@pytest.mark.parametrize("kind", KINDS)
def test_heat_map_is_annotated_with_the_table(kind):
    shown = svg_texts(drawn(kind)["confusion_delta_test"])
    rows = page(kind).table("confusion_delta_test")
    expected = Counter(text for row in rows for text in row[1:])
    expected.update(2 * [row[0] for row in rows])
    expected.update(["Actual class", "Predicted class"])
    assert shown == expected


def test_evolution_figures_name_every_layer_that_lost_nodes():
    for name in ("loss_all", "loss_test", "accuracy_all", "accuracy_test"):
        texts = svg_texts(drawn("thesis")[f"evolution_{name}"])
        assert {row[0] for row in TABLE_5_2} <= set(texts)
    assert "training 0.2818" in svg_texts(drawn("thesis")["evolution_loss_all"])
    assert "test 84.67%" in svg_texts(drawn("thesis")["evolution_accuracy_test"])
    assert not any("train" in t for t in svg_texts(drawn("thesis")["evolution_loss_test"]))


def test_curves_differ_in_line_style_and_colour():
    styles = re.findall(r"stroke-dasharray: ([^;]+);", drawn("thesis")["evolution_loss_all"])
    assert len(set(styles)) >= 2  # the third is solid
    for colour in ("#d55e00", "#009e73", "#1f86c9"):
        assert colour in drawn("thesis")["evolution_loss_all"]


def test_nodes_chart_shows_the_removed_nodes_of_each_layer():
    texts = svg_texts(drawn("thesis")["nodes_per_layer"])
    assert all(texts[f"{row[5]:,} removed"] >= 1 for row in TABLE_5_2)
    assert (
        svg_texts(drawn("23 classes, one empty, test only")["nodes_per_layer"])["not measured"] == 3
    )


def test_figures_without_content_are_not_drawn():
    assert set(drawn("two classes, nothing removed")) == {
        "nodes_per_layer",
        "reliability",
        "confusion_delta_test",
        "confusion_delta_validation",
        "confusion_delta_train",
    }
    assert "nodes_per_layer" not in drawn("no layers")


# The same input gives the same bytes.


def test_same_record_same_bytes_whatever_the_users_settings():
    kind = "no layers"
    again = Record.model_validate_json(record(kind).model_dump_json())
    with mpl.rc_context({"font.size": 20, "svg.hashsalt": "other", "axes.facecolor": "red"}):
        before = dict(mpl.rcParams)
        redrawn = figures.draw(again)
        assert dict(mpl.rcParams) == before
    assert redrawn == drawn(kind)
    assert html.render(again, redrawn) == html.render(record(kind), drawn(kind))
    assert markdown.render(again, links(redrawn)) == markdown.render(
        record(kind), links(drawn(kind))
    )


def test_rendering_never_imports_keras():
    code = (
        "import sys; from kvasir_prune.report import figures, html, markdown; "
        "assert not {'keras', 'tensorflow', 'matplotlib.pyplot'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


# Numbers and labels.


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (notation.loss(0.40994), "0.4099"),
        (notation.loss(3.14e-6), "3.14e-06"),
        (notation.loss(0.0), "0.0000"),
        (notation.signed_loss(-0.165), "\N{MINUS SIGN}0.1650"),
        (notation.points(13.333, 1), "+13.3"),
        (notation.points(0.02, 1), "+0.02"),
        (notation.points(0.0, 1), "0"),
        (notation.signed_score(-0.0304), "\N{MINUS SIGN}0.030"),
        (notation.signed_score(-0.0004), "\N{MINUS SIGN}0.0004"),
        (notation.signed_score(0.0), "0"),
        (notation.points(None), "\N{EN DASH}"),
        (notation.count(None, notation.NOT_MEASURED), "not measured"),
        (notation.threshold(-1e-5), "\N{MINUS SIGN}1e-5"),
        (notation.threshold(0.01), "0.01"),
        (notation.large_unit(999, "B"), "999 B"),
        (notation.large_unit(12_300, "B"), "12.3 kB"),
        (notation.relative(0, 5), "\N{EN DASH}"),
        (notation.relative_words(200, 100, "fewer", "more"), "50.0% fewer"),
        (notation.listing(["a", "b", "c"]), "a, b and c"),
        (notation.printable("a\x00b\nc"), "a\N{REPLACEMENT CHARACTER}b c"),
    ],
)
def test_quantities_are_written_one_way(written, expected):
    assert written == expected


@given(
    st.lists(st.floats(0, 100), min_size=1, max_size=30),
    st.floats(0.01, 20),
)
def test_spread_labels_keep_their_order_distance_and_limits(wanted, gap):
    wanted.sort()
    placed = spread(wanted, gap, 0, 100)
    kept = min(gap, 100 / (len(wanted) - 1)) if len(wanted) > 1 else gap
    assert all(b - a >= kept - 1e-6 for a, b in pairwise(placed))
    assert placed[0] >= -1e-6
    assert placed[-1] <= 100 + 1e-6
    if all(b - a >= gap for a, b in pairwise(wanted)):
        assert placed == pytest.approx(wanted, abs=1e-6)
