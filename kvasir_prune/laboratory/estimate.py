"""How long a trial will take here, told before any is done: some steps of it, timed.

Training is timed step by step on the first images, importance and pruning are planned as
`kvasir-prune plan` does, on the initial weights, and a few images go through the network for the
evaluation. What is known to be missing: the drawing of initial weights (Algorithm 7), the report,
and whatever a process needs to start.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import statistics
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from kvasir_prune import backend
from kvasir_prune.config.sweep import RandomRemoval
from kvasir_prune.experiment.context import Run
from kvasir_prune.experiment.folder import RunFolder
from kvasir_prune.experiment.preparing import prepare_data
from kvasir_prune.laboratory.trial import Trial
from kvasir_prune.laboratory.working import is_beyond
from kvasir_prune.progress import Silent, Task
from kvasir_prune.pruning.random_removal import draw
from kvasir_prune.types import TRAIN

if TYPE_CHECKING:
    from kvasir_prune.models import Chain

STEPS = 96
"""Steps of a training that are timed, at most."""
ENOUGH_S = 5.0
"""Nor are more steps, draws or images timed after so many seconds."""
Call = tuple[int, float]
"""Steps taken, and the seconds they took."""


def estimate(trial: Trial) -> tuple[float, float]:
    """Time some steps of a trial; only decoded images are kept.

    Args:
        trial: with nothing done of it.

    Returns:
        Seconds predicted for its network, trained as long as it may be, and for what is behind.

    Raises:
        KvasirPruneError: as the trial itself would.
    """
    with tempfile.TemporaryDirectory(prefix="kvasir-prune-") as place:
        # Twice: the images are decoded once for all trials.
        _ = Run(trial.config, _folder(place, "first"), Silent(), "").dataset
        run = Run(trial.config, _folder(place, "timed"), Silent(), "")
        with backend.errors_named("timing of a trial"):
            began = time.monotonic()
            prepare_data(run)
            images = time.monotonic() - began
            backend.load()
            found = images + _training(run), _behind(trial, run)
            backend.forget_networks()
            return found


def _folder(place: str, name: str) -> RunFolder:
    folder = RunFolder(Path(place) / name)
    folder.create()
    return folder


def _training(run: Run) -> float:
    """Return the seconds for all epochs, without the validation behind each."""
    from kvasir_prune.training.fit import train

    run.start_backend(computes_results=False)
    settings, rows = run.config.training, run.dataset.rows
    few = {name: of_it[: STEPS * settings.batch_size] for name, of_it in rows.items()}
    dataset, clock = dataclasses.replace(run.dataset, rows=few), _Clock()
    once = settings.model_copy(update={"max_epochs": 1})
    run.folder.training.mkdir(exist_ok=True)
    with suppress(_Enough):
        for _ in train(run.new_model(), dataset, once, run.folder.training, seed=0, progress=clock):
            pass
    steps = math.ceil(len(rows[TRAIN]) / settings.batch_size)
    return extrapolated(clock.calls, settings.max_epochs * steps)


def _behind(trial: Trial, run: Run) -> float:
    """Return the seconds for what comes behind the training."""
    from kvasir_prune.experiment.plan import plan
    from kvasir_prune.models import read_chain

    seconds = 0.0
    if is_beyond(trial.until, "train"):
        planned = plan(run)
        seconds += planned.importance_s
        if is_beyond(trial.until, "importance"):
            seconds += planned.pruning_s
        if is_beyond(trial.until, "prune"):
            seconds += planned.evolution_s + 2 * _prediction(run, read_chain(run.new_model()))
    if trial.random_removal is not None:
        seconds += _draws(run, read_chain(run.new_model()), trial.random_removal)
    return seconds


def _prediction(run: Run, chain: Chain) -> float:
    """Return the seconds in which all images go through the network."""
    from kvasir_prune.evaluation.predict import predict
    from kvasir_prune.models import weights_of
    from kvasir_prune.models.section import Section

    dataset, batch_size = run.dataset, run.config.evaluation.batch_size
    steps = sum(math.ceil(len(rows) / batch_size) for rows in dataset.rows.values())
    rows = dataset.rows[TRAIN]
    parts = predict(Section(chain), weights_of(chain), dataset.images, rows, batch_size=batch_size)
    return extrapolated(_calls(parts), steps)


def _draws(run: Run, chain: Chain, asked: RandomRemoval) -> float:
    """Return the seconds for all draws of nodes."""
    from kvasir_prune.importance.scorers import scorer_of

    scorer = scorer_of(run.config.importance, chain, run.scoring_set(asked.split))
    layers = [hidden.size for hidden in chain.hidden]

    def measured() -> Iterator[None]:
        for number, nodes in itertools.product(range(asked.repetitions), asked.nodes):
            drawn = draw(run.config.seed, layers, nodes, number)
            removed = {layer.name: of_it for layer, of_it in zip(layers, drawn, strict=True)}
            scorer.evaluate_unordered(removed)
            yield

    return extrapolated(_calls(measured()), asked.draws)


def extrapolated(calls: Sequence[Call], total: int) -> float:
    """Return the seconds of all steps from those of the first calls.

    Args:
        calls: in order, at least one; the first one also pays for what is compiled.
        total: steps.
    """
    (steps, first), *others = calls
    usual = [seconds / taken for taken, seconds in others]
    # Not the mean: beside other processes a step now and then takes many times as long.
    step = statistics.median(usual) if usual else first / steps
    return first + max(total - steps, 0) * step


def _calls(steps: Iterable[object]) -> list[Call]:
    """Take steps until enough of them are timed."""
    clock = _Clock()
    with suppress(_Enough):
        clock.advance(0)
        for _ in steps:
            clock.advance(1)
    return clock.calls


class _Enough(Exception):  # noqa: N818  (no error)
    """Enough has been timed."""


class _Clock(Silent):
    """Takes the time of every advance of a job, and ends it when enough is known."""

    def __init__(self) -> None:
        self.calls = list[Call]()
        self._began = self._last = 0.0

    @contextmanager
    def task(self, description: str, total: float | None) -> Iterator[Task]:
        """Open a job that is timed."""
        yield self

    def advance(self, steps: float = 1, **facts: object) -> None:
        """Take the time since the last advance; the first one only starts the clock."""
        now = time.monotonic()
        if not self._began:
            self._began = now
        else:
            self.calls.append((int(steps), now - self._last))
        if len(self.calls) > 1 and now - self._began > ENOUGH_S:
            raise _Enough
        self._last = time.monotonic()

    def foresee(self, done_s: float, left_s: float, **facts: object) -> None:
        """Time nothing."""
