"""The checks of the images: planted leaks and shortcuts are found, clean images pass."""

import csv
import io
import json
import os
import re
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path

import cv2
import imagehash
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from kvasir_prune.config.data import ImageFolder
from kvasir_prune.data import judging, judging_looks, near_duplicates, prepare
from kvasir_prune.data.blank_regions import blank_regions
from kvasir_prune.data.blanking import make_black
from kvasir_prune.data.check import check
from kvasir_prune.data.findings import DataCheck, RegionTells
from kvasir_prune.data.listing import Listing
from kvasir_prune.data.looks import looks_of
from kvasir_prune.data.near_duplicates import CORRELATION, HASH_BITS, Pair, clusters
from kvasir_prune.data.shortcuts import predictability, size_tells
from kvasir_prune.errors import DataError
from kvasir_prune.ledger import run_record
from kvasir_prune.progress import Silent
from kvasir_prune.types import SPLITS
from tests.cli_runs import Server


def scene(seed: int, side: int = 64) -> np.ndarray:
    """A picture with large shapes and small details, (side, side, 3) uint8."""
    rng = np.random.default_rng(seed)
    coarse = cv2.resize(
        rng.uniform(40, 215, (16, 16, 3)), (side, side), interpolation=cv2.INTER_CUBIC
    )
    return np.clip(coarse + rng.normal(0, 2, (side, side, 3)), 0, 255).astype(np.uint8)


def saved_anew(image: np.ndarray) -> np.ndarray:
    """The same picture a little brighter and compressed."""
    brighter = np.clip(image.astype(float) * 1.05 + 4, 0, 255).astype(np.uint8)
    return cv2.imdecode(cv2.imencode(".jpg", brighter, (cv2.IMWRITE_JPEG_QUALITY, 85))[1], 1)


def pairs_by_hand(images: np.ndarray) -> set[tuple[int, int]]:
    """Every pair, one at a time, with the library's own difference and NumPy's correlation."""
    greys = [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in images]
    hashes = [imagehash.phash(Image.fromarray(grey), hash_size=16) for grey in greys]
    small = [cv2.resize(grey, (16, 16), interpolation=cv2.INTER_AREA).ravel() for grey in greys]
    return {
        (i, j)
        for j in range(len(images))
        for i in range(j)
        if hashes[i] - hashes[j] <= HASH_BITS
        and np.corrcoef(small[i], small[j])[0, 1] > CORRELATION
    }


def test_copies_are_found_and_look_alikes_are_not(monkeypatch):
    originals = [scene(seed) for seed in range(12)]
    images = np.stack([*originals, *map(saved_anew, originals[:5])])
    monkeypatch.setattr(near_duplicates, "_BLOCK", 4)
    found = near_duplicates.near_duplicates(images, range(17), Silent())
    assert {(pair.first, pair.second) for pair in found} == pairs_by_hand(images)
    assert {(i, 12 + i) for i in range(5)} == {(pair.first, pair.second) for pair in found}
    assert all(CORRELATION < pair.correlation <= 1 for pair in found)


def test_the_pairs_do_not_depend_on_how_many_processors_there_are():
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("this process has one processor")
    script = """
import os, sys
os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:int(sys.argv[1])])
import numpy as np
from kvasir_prune.data.near_duplicates import near_duplicates
from kvasir_prune.progress import Silent
rng = np.random.default_rng(0)
scenes = rng.integers(0, 256, (20, 64, 64, 3))
noise = rng.integers(-6, 7, (1200, 64, 64, 3))
images = np.clip(np.repeat(scenes, 60, axis=0) + noise, 0, 255).astype(np.uint8)
for pair in near_duplicates(images, range(1200), Silent()):
    print(pair.first, pair.second, pair.correlation.hex())
"""
    said = [
        subprocess.run(
            [sys.executable, "-c", script, str(count)], capture_output=True, check=True
        ).stdout
        for count in (1, 2)
    ]
    assert said[0].count(b"\n") > 10_000
    assert said[0] == said[1]


def test_a_black_image_is_like_no_other_by_correlation():
    images = np.zeros((2, 64, 64, 3), np.uint8)
    assert near_duplicates.near_duplicates(images, [0, 1], Silent()) == []


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=12))
def test_clusters_join_whoever_is_linked(links):
    pairs = [Pair(*sorted(link), 1.0) for link in links]
    found = clusters(10, pairs)
    reached = {place: {place} for place in range(10)}
    for pair in pairs:
        joined = reached[pair.first] | reached[pair.second]
        for place in joined:
            reached[place] = joined
    for i in range(10):
        assert {j for j in range(10) if found[j] == found[i]} == reached[i]


def with_inset(images: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Black out the lower left third of the chosen images."""
    marked = images.copy()
    marked[chosen, 43:, :21] = 0
    return marked


def test_a_blanked_corner_is_found_and_measured():
    images = np.stack([scene(seed) for seed in range(40)])
    labels = np.repeat([0, 1], 20)
    chosen = np.concatenate([np.arange(20) < 18, np.arange(20) < 5])
    black = looks_of(with_inset(images, chosen), range(40), Silent()).black
    (found,) = blank_regions(black, labels, ("a", "b"), 0.25)
    assert found.place == "lower left"
    assert (found.left, found.bottom) == (0, 1)
    assert (found.right, found.top) == (
        pytest.approx(21 / 64, abs=1 / 48),
        pytest.approx(43 / 64, abs=1 / 48),
    )
    assert found.share == pytest.approx({"a": 0.9, "b": 0.25})
    plain = looks_of(images, range(40), Silent()).black
    assert blank_regions(plain, labels, ("a", "b"), 0.25) == []


def test_a_mark_in_a_corner_tells_the_class_there_and_nowhere_else():
    images = np.stack([scene(seed) for seed in range(120)])
    labels = np.arange(120) % 2
    images[labels == 1, :12, 52:] //= 3
    cells = looks_of(images, range(120), Silent()).cells
    learnt, judged = slice(0, 80), slice(80, 120)
    found = predictability((cells[learnt], labels[learnt]), (cells[judged], labels[judged]))
    marked = found["upper right corner"]
    assert marked.accuracy > 0.9
    assert marked.low > 0.7
    assert marked.excess_low > 0 > found["lower left corner"].excess_low
    for region in ("upper left corner", "lower left corner", "lower right corner"):
        assert found[region].accuracy < 0.75
    assert judging_looks.border(found, 2).outcome == "failed"


def test_a_tint_all_over_the_image_is_no_mark_at_its_edge():
    images = np.stack([scene(seed) for seed in range(160)])
    labels = np.arange(160) % 2
    images[labels == 1] = (images[labels == 1] * [1.0, 0.7, 0.7]).astype(np.uint8)
    cells = looks_of(images, range(160), Silent()).cells
    learnt, judged = slice(0, 100), slice(100, 160)
    found = predictability((cells[learnt], labels[learnt]), (cells[judged], labels[judged]))
    assert judging_looks.border(found, 2).outcome == "warning"


def test_a_black_frame_is_an_edge_and_measured_where_it_is_black():
    images = np.stack([scene(seed) for seed in range(40)])
    labels = np.repeat([0, 1], 20)
    framed = images[labels == 0]
    for side in (np.s_[:, :6], np.s_[:, -6:], np.s_[:, :, :6], np.s_[:, :, -6:]):
        framed[side] = 0
    images[labels == 0] = framed
    (found,) = blank_regions(looks_of(images, range(40), Silent()).black, labels, ("a", "b"), 0.25)
    assert found.place == "edge"
    assert "data.blank" not in judging_looks.blank([found]).sentence
    assert found.share == {"a": 1.0, "b": 0.0}


def test_blanks_that_fall_on_classes_by_chance_are_no_finding():
    rng = np.random.default_rng(3)
    images = np.stack([scene(seed) for seed in range(100)])
    labels = np.repeat(np.arange(5), 20)
    black = looks_of(with_inset(images, rng.random(100) < 0.15), range(100), Silent()).black
    assert blank_regions(black, labels, tuple("abcde"), 0.25) == []


SPLIT_OF = ("train", "train", "validation", "test", "test")
CLASS_OF = ("a", "b", "a", "a", "b")


def test_leaks_are_counted_by_test_images_and_not_by_pairs():
    leak, contrary = judging.near_duplicates([(0, 3), (2, 3), (1, 2), (3, 4)], SPLIT_OF, CLASS_OF)
    assert leak.outcome == "failed"
    assert "1 of 2 test images (50.0%)" in leak.sentence
    assert "3 pairs lie across splits" in leak.sentence
    assert (contrary.outcome, contrary.sentence[:6]) == ("warning", "2 of 4")
    clean, agreed = judging.near_duplicates([(3, 4)], SPLIT_OF, ("a",) * 5)
    assert (clean.outcome, agreed.outcome) == ("passed", "passed")


@pytest.mark.parametrize(
    ("digests", "outcome", "part"),
    [
        ("12345", "passed", "No two of 5 files"),
        ("11345", "failed", "0 files have a copy in another split, 2 one in another class"),
        ("12331", "failed", "2 of 5 files are copies of another; 4 files have a copy in another"),
        ("11111", "failed", "4 of 5 files are copies of another; 5 files have a copy in another"),
    ],
)
def test_identical_files_fail_across_splits_or_classes(digests, outcome, part):
    found = judging.exact_duplicates(digests, SPLIT_OF, CLASS_OF)
    assert found.outcome == outcome
    assert part in found.sentence
    within = judging.exact_duplicates("1123", ("train", "train", "test", "test"), "aabb")
    assert within.outcome == "warning"


def test_groups_must_lie_on_one_side():
    assert judging.groups(("p", "p", "q", "r", ""), SPLIT_OF).outcome == "passed"
    assert judging.groups(("p", "q", "q", "r", ""), SPLIT_OF).outcome == "failed"
    assert judging.groups(("",) * 5, SPLIT_OF).outcome == "not assessed"


@pytest.mark.parametrize(
    ("low", "excess_low", "outcome"),
    [(0.44, 0.1, "passed"), (0.46, -0.01, "warning"), (0.46, 0.01, "failed")],
)
def test_the_border_is_judged_by_what_is_sure_against_chance_and_the_inside(
    low, excess_low, outcome
):
    """Four classes: chance is 25%, 20 points above it 45%."""
    tells = {
        "border": RegionTells(accuracy=0.6, low=low, reference=0.5, excess_low=excess_low),
        "upper left corner": RegionTells(accuracy=0.3, low=0.2, reference=0.1, excess_low=0.1),
    }
    assert judging_looks.border(tells, 4).outcome == outcome


def test_units_join_groups_and_look_alikes():
    listing = Listing(
        tuple("abcdef"), *(("",) * 6,) * 2, ("g", "g", "", "h", "", ""), ("test",) * 6
    )
    assert listing.units() is not None
    numbers = listing.units([["b", "c"], ["e", "x"]])
    assert numbers[0] == numbers[1] == numbers[2]
    assert len({*numbers.tolist()}) == 4
    alone = Listing(tuple("ab"), *(("",) * 2,) * 3, ("test",) * 2)
    assert alone.units() is None
    assert alone.units([["a", "b"]]).tolist() == [0, 0]


def write_folder(root: Path, *, copies: int, count: int = 24) -> Path:
    """Two class folders; the first images of each are there twice, the second time saved anew."""
    for number, label in enumerate(("lesion", "normal")):
        (root / label).mkdir(parents=True)
        for image in range(count):
            picture = scene(1000 * number + image)
            cv2.imwrite(str(root / label / f"{image:02}.png"), picture)
            if image < copies:
                cv2.imwrite(str(root / label / f"{image:02}-again.png"), saved_anew(picture))
    return root


def checked(root: Path, run: Path, **keys: object) -> dict[str, str]:
    """Prepare and check a folder of images; return code -> outcome."""
    config = ImageFolder(source="image_folder", root=str(root), **keys)
    run.mkdir()
    dataset = prepare(config, side_px=64, seed=0, run_folder=run, progress=Silent())
    listing = Listing.read(run / "split.csv")
    found = check(dataset, listing, 0, photographs=True, progress=Silent())
    (run / "check.json").write_text(found.model_dump_json())
    assert all(pair.split != pair.other_split for pair in found.leaked_pairs)
    of_test = [pair.split == "test" for pair in found.leaked_pairs]
    assert of_test == sorted(of_test, reverse=True)
    told = re.findall(r"([\d,]+) pairs lie across", " ".join(f.sentence for f in found.findings))
    assert told in ([str(len(of_test))], [])
    return {finding.code: finding.outcome for finding in found.findings}


def test_rectangles_are_black_and_nothing_else_is():
    image = scene(3)
    blanked = make_black(image, [[0, 0.67, 0.33, 1], [0.9, 0, 1, 0.1]])
    inside = np.zeros((64, 64), bool)
    inside[42:, :22] = inside[:7, 57:] = True
    assert not blanked[inside].any()
    assert (blanked[~inside] == image[~inside]).all()
    assert image[inside].any()


def test_what_is_made_black_is_found_no_more(tmp_path):
    root = tmp_path / "images"
    for number, label in enumerate(("lesion", "normal")):
        (root / label).mkdir(parents=True)
        for image in range(60):
            picture = scene(1000 * number + image)
            if number and image % 6:
                picture[43:, :21] = 0
            if not number and image % 5:
                picture[:9, 54:] = 0
            cv2.imwrite(str(root / label / f"{image:02}.png"), picture)
    fractions = {"train": 0.4, "validation": 0.3, "test": 0.3}
    plain = checked(root, tmp_path / "plain", fractions=fractions)
    assert (plain["BLANK_REGION"], plain["BORDER_TELLS_CLASS"]) == ("failed", "failed")
    assert plain["IMAGE_SIZES"] == "passed"
    found = DataCheck.model_validate_json((tmp_path / "plain" / "check.json").read_text())
    blank = [region.rectangle for region in found.blank_regions]
    assert len(blank) == 2
    assert f"data.blank: {blank}" in judging_looks.blank(found.blank_regions).sentence
    mended = checked(root, tmp_path / "mended", fractions=fractions, blank=blank)
    assert (mended["BLANK_REGION"], mended["BORDER_TELLS_CLASS"]) == ("passed", "passed")
    assert json.loads((tmp_path / "mended" / "data.json").read_text())["blanked"] == blank


@pytest.mark.parametrize("blank", [[[0.5, 0, 0.5, 1]], [[0, 1, 1, 0]], [[0, 0, 1]], [[0, 0, 1, 2]]])
def test_what_is_no_rectangle_is_refused(blank):
    with pytest.raises(ValueError, match="blank"):
        ImageFolder(source="image_folder", blank=blank)


def test_sizes_that_tell_the_class_are_a_warning_and_others_are_not():
    rng = np.random.default_rng(5)
    labels = np.arange(240) % 2
    sizes = np.array([(576, 720), (1072, 1920)])
    for share, outcome in ((0.0, "warning"), (0.5, "passed")):
        shown = sizes[np.where(rng.random(240) < share, 1 - labels, labels)]
        tells = size_tells((shown[:160], labels[:160]), (shown[160:], labels[160:]), ("a", "b"))
        found = judging_looks.sizes(Counter(map(tuple, shown.tolist())), 224, tells)
        assert found.outcome == outcome
        assert "2 sizes, from 720 x 576 to 1920 x 1072 pixels. A simple" in found.sentence
    assert tells.accuracy == pytest.approx(0.5, abs=0.15)
    small = judging_looks.sizes(Counter({(64, 48): 7}), 64, None)
    assert small.sentence == (
        "All 7 images are 48 x 64 pixels. 7 are smaller than what the network sees, and enlarged."
    )


def test_one_class_of_many_that_is_given_away_by_its_size_is_named():
    labels = np.arange(600) % 10
    shown = np.where((labels == 7)[:, None], (1072, 1920), (576, 720))
    parts = ((shown[part], labels[part]) for part in (np.s_[:400], np.s_[400:]))
    tells = size_tells(*parts, tuple("abcdefghij"))
    assert (tells.label, tells.accuracy, tells.low) == ("h", 1.0, 1.0)
    found = judging_looks.sizes(Counter(map(tuple, shown.tolist())), 224, tells)
    assert found.outcome == "warning"
    assert "best tells h from the rest: 100% right" in found.sentence


def test_sizes_of_one_class_only_tell_nothing():
    sizes, labels = np.array([(10, 10), (20, 20)] * 30), np.arange(60) % 2
    assert size_tells((sizes, labels), (sizes, np.zeros(60, int)), ("a", "b")) is None


def black_where(parts: dict[int, list[tuple[slice, slice]]], images: int) -> tuple:
    """Black parts of images of two classes in turn: one of its class's parts in each."""
    labels = np.arange(images) % 2
    black = np.zeros((images, 48, 48), bool)
    for image, label in enumerate(labels):
        places = parts.get(int(label), [])
        if places:
            black[image][places[image // 2 % len(places)]] = True
    return black, labels, ("a", "b"), 0.25


@pytest.mark.parametrize(
    ("parts", "shares"),
    [
        (
            {0: [np.s_[24:, :24]], 1: [np.s_[24:, 24:]]},
            [{"a": 1.0, "b": 0.0}, {"a": 0.0, "b": 1.0}],
        ),
        ({0: [np.s_[30:, :12], np.s_[30:, 12:24]]}, [{"a": 0.5, "b": 0.0}]),
    ],
    ids=["side by side", "in one of two places"],
)
def test_neighbouring_black_parts_do_not_hide_each_other(parts, shares):
    found = blank_regions(*black_where(parts, images=80))
    assert sorted((region.share for region in found), key=str) == sorted(shares, key=str)
    assert judging_looks.blank(found).outcome == "failed"


def test_a_frame_is_no_rectangle_to_be_made_black():
    frame = np.zeros((48, 48), bool)
    frame[6:, :4] = frame[6:, -4:] = frame[-4:] = True
    black, labels, classes, differing = black_where({}, images=40)
    black[labels == 0] = frame
    (found,) = blank_regions(black, labels, classes, differing)
    assert (found.left, found.right, found.fills) == (0, 1, pytest.approx(frame[6:].mean()))
    sentence = judging_looks.blank([found]).sentence
    assert sentence.startswith("Part of the centre region")
    assert "data.blank" not in sentence


def test_grouping_by_look_keeps_copies_on_one_side(tmp_path):
    root = write_folder(tmp_path / "images", copies=12)
    loose = checked(root, tmp_path / "loose")
    assert loose["CONTRARY_LABELS"] == "passed"
    assert loose["NEAR_DUPLICATES"] == "failed"
    assert loose["GROUPS"] == "not assessed"
    tight = checked(root, tmp_path / "tight", group_by="near_duplicates", max_deviation=0.2)
    assert tight["NEAR_DUPLICATES"] == "passed"
    assert tight["GROUPS"] == "not assessed"
    lines = csv.DictReader(io.StringIO((tmp_path / "tight" / "split.csv").read_text()))
    sides = defaultdict(set)
    for line in lines:
        sides[Path(line["path"]).parent / Path(line["path"]).name[:2]].add(line["split"])
    assert len(sides) == 48
    assert all(len(found) == 1 for found in sides.values())


def test_grouping_by_look_is_refused_where_nothing_can_be_seen(tmp_path):
    root = write_folder(tmp_path / "images", copies=0, count=8)
    config = ImageFolder(source="image_folder", root=str(root), group_by="near_duplicates")
    with pytest.raises(DataError, match="too small to tell a duplicate"):
        prepare(config, side_px=16, seed=0, run_folder=tmp_path, progress=Silent())


def test_findings_are_printed_and_kept(tmp_path: Path, server: Server):
    write_folder(tmp_path / "images", copies=6)
    (tmp_path / "config.yaml").write_text(
        "name: x\ndata: {source: image_folder, root: images}\n"
        "model: {name: ann, input_side_px: 64}\n"
    )
    done = server.call("data", "config.yaml", "--check", "--run-dir", "run", cwd=tmp_path)
    done.succeeded()
    assert "NEAR_DUPLICATES" in done.out
    assert "Near-duplicates across splits:" in done.err
    kept = json.loads((tmp_path / "run" / "data_check.json").read_text())
    assert len(kept["findings"]) == 10
    (tmp_path / "run" / "data_check.json").write_bytes(b"\0" * 40)
    again = server.call("data", "config.yaml", "--check", "--run-dir", "run", cwd=tmp_path)
    assert "data_check.json is damaged" in again.succeeded().err
    assert json.loads((tmp_path / "run" / "data_check.json").read_text()) == kept
    path, record = tmp_path / "run" / "data_check.json", tmp_path / "run" / "run.json"
    path.write_text(json.dumps({**kept, "blank_regions": None, "older": True}))
    run_record.write(record, run_record.sealed(run_record.read(record), path))
    older = server.call("data", "config.yaml", "--check", "--run-dir", "run", cwd=tmp_path)
    assert "checked by another version: they are checked anew" in older.succeeded().err
    assert json.loads(path.read_text()) == kept


def test_class_groups_that_name_no_class_are_refused_before_the_training(tmp_path, server):
    write_folder(tmp_path / "images", copies=0, count=8)
    (tmp_path / "config.yaml").write_text(
        "name: x\ndata: {source: image_folder, root: images}\n"
        "model: {name: ann, input_side_px: 16}\n"
        "report: {class_groups: {sick: [lesions]}}\n"
    )
    refused = server.call("data", "config.yaml", "--run-dir", "run", cwd=tmp_path)
    refused.refused('there is no class "lesions"', "lesion, normal")


@pytest.mark.slow
def test_the_traps_of_real_colonoscopy_frames_are_found_and_named(tmp_path, real_data):
    """HyperKvasir: a blacked-out inset at x < 34%, y > 62%, and video frames in several splits."""
    config = ImageFolder(source="image_folder", root=str(real_data("hyperkvasir5_224.zip")))
    dataset = prepare(config, side_px=96, seed=0, run_folder=tmp_path, progress=Silent())
    listing = Listing.read(tmp_path / "split.csv")
    found = check(dataset, listing, 0, photographs=True, progress=Silent())
    outcomes = {finding.code: finding for finding in found.findings}
    inset = found.blank_regions[0]
    assert inset.place == "lower left"
    assert (inset.right, inset.top) == (
        pytest.approx(0.34, abs=1 / 12),
        pytest.approx(0.62, abs=1 / 12),
    )
    assert (
        inset.share["polyp"] < 0.6 < 0.9 < min(inset.share[c] for c in inset.share if c != "polyp")
    )
    for code in ("BLANK_REGION", "BORDER_TELLS_CLASS", "NEAR_DUPLICATES"):
        assert outcomes[code].outcome == "failed"
    assert outcomes["CLASS_BALANCE"].outcome == "warning"
    leaked = {(pair.label, pair.path) for pair in found.leaked_pairs if pair.split == "test"}
    for label, count in Counter(label for label, _ in leaked).items():
        assert f"{label} {count}" in outcomes["NEAR_DUPLICATES"].sentence
    most_alike = {pair.label for pair in found.leaked_pairs[:12]}
    assert most_alike <= {"bbps-0-1", "bbps-2-3", "impacted-stool"}
    assert set(listing.splits) == set(SPLITS)
