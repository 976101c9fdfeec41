"""Keeping small pictures of the images that a report shows."""

from __future__ import annotations

from collections.abc import Sequence

from kvasir_prune.data.findings import PAIRS_PICTURED
from kvasir_prune.data.listing import Listing
from kvasir_prune.evaluation import store, thumbnails
from kvasir_prune.evaluation.answers import Answers
from kvasir_prune.evaluation.class_groups import ClassGroups, named_groups
from kvasir_prune.evaluation.flips import PICTURED, Flip, flips
from kvasir_prune.experiment.checking import check_data
from kvasir_prune.experiment.context import Run
from kvasir_prune.types import SPLITS, TEST


def write_thumbnails(run: Run) -> None:
    """Publish `thumbnails.h5`: test images whose answer changed, and near-duplicates elsewhere."""
    dataset = run.dataset
    logits = store.read(run.folder.evaluation).splits[TEST]
    listing = Listing.read(run.folder.split)
    groups = named_groups(dataset.classes, run.config.report, run.folder.config)
    changed = pictured(logits, listing.of(TEST).paths, dataset.classes, groups)
    pairs = check_data(run).leaked_pairs[:PAIRS_PICTURED]
    shown = {flip.path for flip in changed}
    shown |= {path for pair in pairs for path in (pair.path, pair.other_path)}
    pictures = {
        path: thumbnails.encode(dataset.images[row])
        for split in SPLITS
        for path, row in zip(listing.of(split).paths, dataset.rows[split], strict=True)
        if path in shown
    }
    thumbnails.write(run.folder.thumbnails, pictures, run.origin)


def pictured(
    logits: store.SplitLogits,
    paths: Sequence[str],
    classes: Sequence[str],
    groups: ClassGroups | None,
) -> list[Flip]:
    """Return the flips of which a picture is kept; the arguments are those of `flips`."""
    before, after = (Answers.of(z, logits.labels) for z in (logits.before, logits.after))
    return flips(before, after, paths, classes, groups)[:PICTURED]
