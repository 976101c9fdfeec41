"""Keeping small pictures of the images that a report shows."""

from __future__ import annotations

from kvasir_prune.data.listing import Listing
from kvasir_prune.evaluation import store, thumbnails
from kvasir_prune.evaluation.answers import Answers
from kvasir_prune.evaluation.flips import flips
from kvasir_prune.experiment.checking import check_data
from kvasir_prune.experiment.context import Run
from kvasir_prune.types import SPLITS, TEST

LIMIT = 1000
"""Flips of which a picture is kept, at most; the most harmful come first."""


def write_thumbnails(run: Run) -> None:
    """Publish `thumbnails.h5`: test images whose answer changed, and near-duplicates elsewhere."""
    dataset = run.dataset
    logits = store.read(run.folder.evaluation).splits[TEST]
    before, after = (Answers.of(z, logits.labels) for z in (logits.before, logits.after))
    listing = Listing.read(run.folder.split)
    paths = listing.of(TEST).paths
    changed = flips(before, after, paths, dataset.classes)[:LIMIT]
    pairs = check_data(run).leaked_pairs
    shown = {flip.path for flip in changed}
    shown |= {path for pair in pairs for path in (pair.path, pair.other_path)}
    pictures = {
        path: thumbnails.encode(dataset.images[row])
        for split in SPLITS
        for path, row in zip(listing.of(split).paths, dataset.rows[split], strict=True)
        if path in shown
    }
    thumbnails.write(run.folder.thumbnails, pictures, run.origin)
