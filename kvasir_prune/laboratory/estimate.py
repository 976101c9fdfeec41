"""How long a trial will take here, told before any of its setting is done: a part of it, timed.

The training is begun and gone on with for some seconds. Importance and pruning are planned as
`kvasir-prune plan` does, on the initial weights; some draws are made, and some images go through
the network for the evaluation. Not counted are the drawing of initial weights (Algorithm 7), the
report, and whatever a process needs to start.
"""

from __future__ import annotations

import itertools
import math
import statistics
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from kvasir_prune import backend
from kvasir_prune.experiment.context import Run
from kvasir_prune.experiment.folder import RunFolder
from kvasir_prune.experiment.preparing import prepare_data
from kvasir_prune.laboratory.draw_store import places_of
from kvasir_prune.laboratory.forecast import Estimate
from kvasir_prune.laboratory.random_removal import Draws
from kvasir_prune.laboratory.stopwatch import Call, Enough, Stopwatch, extrapolated, timed
from kvasir_prune.laboratory.trial import Trial
from kvasir_prune.laboratory.working import is_beyond
from kvasir_prune.progress import Silent
from kvasir_prune.types import TRAIN

if TYPE_CHECKING:
    from kvasir_prune.models import Chain


def estimate(trial: Trial, place: Path) -> Estimate:
    """Time a part of a trial.

    Args:
        trial: with nothing done of it.
        place: an existing folder for whatever is written; images that the sweep has decoded already
            are read where they are.

    Raises:
        KvasirPruneError: as the trial itself would.
    """
    # Twice: the images are decoded once for all trials.
    _ = _run(trial, place).dataset
    began = time.monotonic()
    run = _run(trial, place)
    with backend.errors_named("timing of a trial"):
        prepare_data(run)
        images = time.monotonic() - began
        backend.load()
        run.start_backend(computes_results=False)
        importance, behind = _behind(trial, run)
        found = Estimate(images + _training(run), importance, images + behind)
        backend.forget_networks()
        return found


def _run(trial: Trial, place: Path) -> Run:
    config = trial.config
    if not Path(str(config.data.cache_dir)).is_dir():
        data = config.data.model_copy(update={"cache_dir": str(place / "images")})
        config = config.model_copy(update={"data": data})
    return Run(config, RunFolder(Path(tempfile.mkdtemp(dir=place))), Silent(), "")


def _training(run: Run) -> float:
    """Return the seconds for all epochs."""
    from kvasir_prune.training.fit import train

    settings, folder = run.config.training, run.folder.training
    folder.mkdir()
    clock, ends = Stopwatch(), list[float]()
    with suppress(Enough):
        for _ in train(
            run.new_model(), run.dataset, settings, folder, seed=run.config.seed, progress=clock
        ):
            ends.append(time.monotonic())
        return ends[-1] - ends[0]
    steps = math.ceil(len(run.dataset.rows[TRAIN]) / settings.batch_size)
    epochs = [end - start for start, end in itertools.pairwise(ends)]
    return seconds_of_epochs(epochs, clock.calls, settings.max_epochs, steps)


def seconds_of_epochs(
    epochs: Sequence[float], calls: Sequence[Call], total: int, steps: int
) -> float:
    """Return the seconds of a whole training from those of its beginning.

    Args:
        epochs: seconds of those that were finished; the first one also pays for what is compiled.
        calls: of the steps that were taken, in order, at least one.
        total: epochs.
        steps: of each.
    """
    if len(epochs) > 1:
        return epochs[0] + (total - 1) * statistics.fmean(epochs[1:])
    return extrapolated(calls, total * steps)


def _behind(trial: Trial, run: Run) -> tuple[float, float]:
    """Return the seconds for the importances, and for what else comes behind the training."""
    from kvasir_prune.experiment.plan import plan
    from kvasir_prune.experiment.stages import check_layers
    from kvasir_prune.models import read_chain

    importance = seconds = 0.0
    chain = read_chain(run.new_model())
    check_layers(run, chain)
    if is_beyond(trial.until, "train"):
        planned = plan(run)
        importance = planned.importance_s
        if is_beyond(trial.until, "importance"):
            seconds += planned.pruning_s
        if is_beyond(trial.until, "prune"):
            seconds += planned.evolution_s + 2 * _prediction(run, chain)
    if trial.random_removal is not None:
        draws = Draws(run, chain, trial.random_removal)
        places = places_of(trial.random_removal)
        seconds += extrapolated(
            timed(itertools.starmap(draws.measure, places)), trial.random_removal.draws
        )
    return importance, seconds


def _prediction(run: Run, chain: Chain) -> float:
    """Return the seconds in which all images go through the network."""
    from kvasir_prune.evaluation.predict import predict
    from kvasir_prune.models import weights_of
    from kvasir_prune.models.section import Section

    dataset, batch_size = run.dataset, run.config.evaluation.batch_size
    steps = sum(math.ceil(len(rows) / batch_size) for rows in dataset.rows.values())
    rows = dataset.rows[TRAIN]
    parts = predict(Section(chain), weights_of(chain), dataset.images, rows, batch_size=batch_size)
    return extrapolated(timed(parts), steps)
