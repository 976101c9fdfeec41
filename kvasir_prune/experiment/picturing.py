"""Keeping small pictures of the images that a report shows."""

from __future__ import annotations

from kvasir_prune.data.listing import Listing
from kvasir_prune.evaluation import store, thumbnails
from kvasir_prune.evaluation.answers import Answers
from kvasir_prune.evaluation.flips import flips
from kvasir_prune.experiment.context import Run
from kvasir_prune.types import TEST

LIMIT = 1000
"""Pictures kept at most; the most harmful flips come first."""


def write_thumbnails(run: Run) -> None:
    """Publish `thumbnails.h5`: the test images whose answer changed."""
    dataset = run.dataset
    logits = store.read(run.folder.evaluation)[1][TEST]
    before, after = (Answers.of(z, logits.labels) for z in (logits.before, logits.after))
    paths = Listing.read(run.folder.split, TEST).paths
    changed = flips(before, after, paths, dataset.classes)[:LIMIT]
    rows = dataset.rows[TEST]
    pictures = {flip.path: thumbnails.encode(dataset.images[rows[flip.image]]) for flip in changed}
    thumbnails.write(run.folder.thumbnails, pictures, run.origin)
