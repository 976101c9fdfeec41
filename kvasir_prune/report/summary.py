"""The first thing a reader sees: what was pruned, what it saved and what it cost which class."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from kvasir_prune.report import captions, notation
from kvasir_prune.report.judgement import FLIPS_LISTED
from kvasir_prune.report.schema import Record, Split, TurningPoint
from kvasir_prune.report.tables import classes, splits
from kvasir_prune.types import TEST

MOST_NAMED = 3
"""Classes named at most where several changed equally; the tables have all."""


@dataclass(frozen=True)
class Tile:
    """One quantity before and after pruning, with its change in words."""

    label: str
    before: str
    after: str
    change: str


@dataclass(frozen=True)
class ClassChange:
    """What happened to one class on the test set."""

    name: str
    sensitivity: str
    points: str
    images: str


@dataclass(frozen=True)
class Summary:
    """The summary box.

    Attributes:
        pruned: what was removed, one or two sentences.
        tiles: accuracy on the test set, parameters, FLOPs, file.
        lost: the class or classes that lost most sensitivity on the test set; empty if none did.
        gained: those that gained most; empty if none did.
        no_loss: the sentence that stands for an empty `lost`.
        no_gain: the sentence that stands for an empty `gained`.
        warning: which figures are optimistic, and why.
        disclaimer: what the network must not be used for.
    """

    pruned: str
    tiles: tuple[Tile, ...]
    lost: tuple[ClassChange, ...]
    gained: tuple[ClassChange, ...]
    no_loss: str
    no_gain: str
    warning: str
    disclaimer: str


def summarise(record: Record) -> Summary:
    """Return the summary box of a record."""
    test = record.results.splits.get(TEST)
    missing = captions.note("split_missing", split=TEST)
    return Summary(
        pruned=_pruned(record),
        tiles=(*([] if test is None else [_accuracy_tile(test)]), *_cost_tiles(record)),
        lost=() if test is None else tuple(_extreme(test, classes(record), sign=-1)),
        gained=() if test is None else tuple(_extreme(test, classes(record), sign=1)),
        no_loss=missing if test is None else "No class lost sensitivity on the test set.",
        no_gain=missing if test is None else "No class gained sensitivity on the test set.",
        warning=_warning(record.results.pruning.chosen_on),
        disclaimer=captions.note("disclaimer"),
    )


def _pruned(record: Record) -> str:
    removed = record.results.pruning.removed
    if removed == 0:
        return captions.note("nothing_removed")
    nodes = sum(layer.nodes for layer in record.results.layers)
    touched = sum(layer.removed > 0 for layer in record.results.layers)
    strategy = notation.printable(record.results.pruning.strategy).replace("_", "-")
    share = f" ({notation.percent(removed / nodes, 1)}%)" if nodes else ""
    split = record.results.pruning.chosen_on
    judged = "" if split is None else f" on the {notation.split_name(split)} images"
    return (
        f"{notation.count(removed)} of {notation.plural(nodes, 'node')}{share} were "
        f"removed from {notation.plural(touched, 'layer')} of the network, chosen by {strategy} "
        f"pruning{judged}."
    )


def _accuracy_tile(test: Split) -> Tile:
    before, after = test.before, test.after
    right = [
        sum(outcome.confusion_matrix[i][i] for i in range(len(outcome.confusion_matrix)))
        for outcome in (before, after)
    ]
    change = notation.points((after.accuracy - before.accuracy) * 100)
    return Tile(
        f"Accuracy on {notation.plural(test.images, 'test image')}",
        f"{notation.percent(before.accuracy)}%",
        f"{notation.percent(after.accuracy)}%",
        f"{change} points; {right[0]:,} right before, {right[1]:,} after",
    )


def _cost_tiles(record: Record) -> Iterator[Tile]:
    before, after = record.results.cost.before, record.results.cost.after
    yield Tile(
        "Parameters",
        notation.large(before.parameters),
        notation.large(after.parameters),
        notation.relative_words(before.parameters, after.parameters, "fewer", "more"),
    )
    yield Tile(
        "Operations for one image",
        notation.large(before.flops),
        notation.large(after.flops),
        notation.relative_words(before.flops, after.flops, "fewer", "more"),
    )
    files = (before.file_bytes, after.file_bytes)
    sizes = [notation.NOT_MEASURED if b is None else notation.large_unit(b, "B") for b in files]
    change = (
        ""
        if before.file_bytes is None or after.file_bytes is None
        else notation.relative_words(before.file_bytes, after.file_bytes, "smaller", "larger")
    )
    yield Tile("Model file", sizes[0], sizes[1], change)
    times = {one.network: one.median_ms for one in record.provenance.latency if one.batch_size == 1}
    if times:
        was, now = times["before"], times["cut"]
        change = f"{abs(now / was - 1) * 100:.0f}% {'less' if now < was else 'more'}, measured here"
        yield Tile("Time for one image", f"{was:.1f} ms", f"{now:.1f} ms", change)


def _extreme(test: Split, names: Sequence[str], sign: int) -> Iterator[ClassChange]:
    """Yield the class whose sensitivity changed most in the direction of `sign`, or its equals."""
    pairs = zip(test.before.class_accuracy, test.after.class_accuracy, strict=True)
    changes = [0.0 if b is None or a is None else a - b for b, a in pairs]
    most = max((sign * change for change in changes), default=0.0)
    if most <= 1e-12:
        return
    equals = [i for i, change in enumerate(changes) if sign * change >= most - 1e-9]
    for i in equals[:MOST_NAMED]:
        change = changes[i]
        before, after = test.before.class_accuracy[i], test.after.class_accuracy[i]
        images = test.after.confusion_matrix[i][i] - test.before.confusion_matrix[i][i]
        word = "more" if sign > 0 else "fewer"
        yield ClassChange(
            names[i],
            f"{notation.percent(before)}% to {notation.percent(after)}%",
            f"{notation.points(change * 100)} points",
            f"{abs(images):,} {word} of {notation.plural(test.images_per_class[i], 'image')} "
            "recognised",
        )


def _warning(scoring_split: str | None) -> str:
    if scoring_split is None:
        return captions.note("drawn_at_random")
    judged = notation.split_name(scoring_split)
    reason = (
        f"The {judged} figures are optimistic: the nodes to remove were chosen on the {judged} "
        "images, so the network looks better there than it would on new ones."
    )
    if scoring_split == TEST:
        return f"{reason} No image set is left that could judge the network fairly."
    return f"{reason} Judge the network by the {TEST} images, which took no part in any choice."


def training_outcome(record: Record) -> str:
    """Return how long training went on and what was kept, one sentence."""
    training = record.results.training
    ending = (
        "it was stopped early, because it no longer improved"
        if training.stopped_early
        else "it went on to the last epoch allowed"
    )
    return (
        f"Training took {notation.plural(len(training.epochs), 'epoch')}; {ending}. The weights of "
        f"epoch {training.best_epoch} were kept."
    )


def caveats(record: Record) -> dict[str, str]:
    """Return the sentences that explain what is absent from tables and figures.

    Returns:
        Sentences by the part of the report they belong to: `removals`, `evolution`, `turn`,
        `training`, `layers`, `latency`, `deviation`, `flips`, and `split_<name>` for each split
        with a class without images. A part of which there is nothing to say has no key.
    """
    found: dict[str, str] = {}
    if record.results.pruning.removed == 0:
        found["removals"] = captions.note("nothing_removed")
    if len(record.results.evolution) < 2:
        found["evolution"] = captions.note("evolution_empty")
    turn = record.results.turning_point
    if turn is not None:
        found["turn"] = turning_sentence(turn, record.results.pruning.scoring_split)
    if not record.results.training.epochs:
        found["training"] = captions.note("training_empty")
    if not record.results.layers:
        found["layers"] = captions.note("layers_empty")
    elif any(layer.important is None for layer in record.results.layers):
        found["layers"] = captions.note("not_measured")
    if not record.provenance.latency:
        found["latency"] = captions.note("no_latency")
    if not record.results.data.split_deviation_percent:
        found["deviation"] = captions.note("no_deviation")
    assessment = record.results.assessment
    if assessment is not None and not assessment.flips:
        found["flips"] = captions.note("no_flips")
    elif assessment is not None and len(assessment.flips) > FLIPS_LISTED:
        found["flips"] = captions.note(
            "more_flips", shown=str(FLIPS_LISTED), all=notation.count(len(assessment.flips))
        )
    for name in splits(record):
        counts = record.results.splits[name].images_per_class
        empty = [c for c, images in zip(classes(record), counts, strict=True) if images == 0]
        if empty:
            found[f"split_{name}"] = captions.note(
                "no_images", split=notation.split_name(name), classes=notation.listing(empty)
            )
    return found


def turning_sentence(turn: TurningPoint, judged_on: str) -> str:
    """Say from where on pruning fitted the split that judged and no other."""
    return captions.note(
        "turning_point",
        removed=notation.count(turn.removed),
        after=notation.count(turn.removed_after),
        then=notation.loss(turn.test_then.loss),
        accuracy=notation.percent(turn.test_then.accuracy),
        now=notation.loss(turn.test_at_the_end.loss),
        split=notation.split_name(judged_on),
        judged_then=notation.loss(turn.judged_then),
        judged_now=notation.loss(turn.judged_at_the_end),
    )
