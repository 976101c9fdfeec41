"""A strategy that writes down what it is told: the very evaluations and decisions of a run."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from kvasir_prune.importance.scorer import Scorer
from kvasir_prune.ledger import MemoryLedger, State
from kvasir_prune.progress import Progress
from kvasir_prune.pruning import Exhaustive, Strategy, prune
from kvasir_prune.pruning.strategy import Together
from kvasir_prune.types import Entry, Ignored, LayerFinished, LayerSize, Limits, Removed, Scored

REMOVED, IGNORED, KEPT, FINISHED = "removed", "ignored", "kept", "finished"


@dataclass(frozen=True)
class Evaluation:
    """One candidate whose loss a strategy used: what was removed before, and which node."""

    layer: str
    removed: Mapping[str, tuple[int, ...]]
    node: int


@dataclass(frozen=True)
class Decision:
    """What a strategy decided, and from which importances (nats, eq. 3.1).

    For greedy every evaluation is one. For exhaustive the end of every scan is one: `evaluation`
    is of the best node and `rival` is the second best, None where there is none; the rival's
    importance is an upper bound where its evaluation was abandoned. `is_bound` marks an importance
    that is only an upper bound.
    """

    evaluation: Evaluation
    importance: float
    outcome: str
    rival: int | None = None
    rival_importance: float | None = None
    is_bound: bool = False


class Recorder:
    """Decides as another strategy does, and keeps what it saw: nothing more while a clock runs.

    Args:
        strategy: decides.
    """

    def __init__(self, strategy: Strategy) -> None:
        self._strategy = strategy
        self._seen: list[tuple[State, Sequence[Scored], tuple[Entry, ...]]] = []

    def next(self, state: State) -> tuple[int, ...] | Together:
        """Ask the strategy."""
        return self._strategy.next(state)

    def limits(self, state: State) -> Limits:
        """Ask the strategy."""
        return self._strategy.limits(state)

    def decide(self, state: State, scores: Sequence[Scored]) -> tuple[Entry, ...]:
        """Ask the strategy, and keep what it was given and what it made of it."""
        entries = self._strategy.decide(state, scores)
        self._seen.append((state, scores, entries))
        return entries

    @cached_property
    def evaluations(self) -> list[Evaluation]:
        """Every candidate whose loss was used, in order."""
        return [
            _evaluation(state, score.node)
            for state, scores, entries in self._seen
            for _, score in zip(entries, scores, strict=False)
        ]

    @cached_property
    def decisions(self) -> list[Decision]:
        """Every decision, in order."""
        if isinstance(self._strategy, Exhaustive):
            return [
                _scan(state, entries[0])
                for state, scores, entries in self._seen
                if state.scores and not scores
            ]
        return [
            _decision(state, score, entry)
            for state, scores, entries in self._seen
            for entry, score in zip(entries, scores, strict=False)
        ]


@dataclass(frozen=True)
class Job:
    """One whole pruning.

    Attributes:
        seconds: for everything from the scorer's baseline to the last decision.
        baseline_seconds: of them until the loss of the whole network was known, which takes a pass
            of the first prefix.
        removed: per layer in order of work, its removed nodes in order of removal.
        evaluations: candidates whose losses were used, as the ledger counts.
        trace: what was used and decided.
    """

    seconds: float
    baseline_seconds: float
    removed: tuple[tuple[int, ...], ...]
    evaluations: int
    trace: Recorder


def job(
    scorer: Scorer,
    strategy: Strategy,
    layers: tuple[LayerSize, ...],
    *,
    title: str,
    progress: Progress,
    began: float | None = None,
) -> Job:
    """Prune once and time it.

    Args:
        scorer: measures.
        strategy: decides.
        layers: last hidden layer first.
        title: of the progress bar.
        progress: told how many nodes are settled.
        began: `time.perf_counter()` before the scorer was made, if that counts too.
    """
    start = time.perf_counter() if began is None else began
    trace = Recorder(strategy)
    ledger = MemoryLedger(layers, scorer.evaluate({}))
    baseline_seconds = time.perf_counter() - start
    with progress.task(title, sum(layer.nodes for layer in layers)) as task:
        done = 0
        for state in prune(trace, scorer, ledger, commit_every_s=60):
            now = _settled(state)
            if now != done:
                task.advance(now - done, evaluations=state.evaluations, removed=state.removals)
                done = now
    seconds = time.perf_counter() - start
    state = ledger.state
    return Job(seconds, baseline_seconds, state.removed, state.evaluations, trace)


def _evaluation(state: State, node: int) -> Evaluation:
    return Evaluation(state.layers[state.layer].name, state.removed_by_name(), node)


def _decision(state: State, score: Scored, entry: Entry) -> Decision:
    importance = getattr(entry, "importance", state.current.loss - score.loss)
    at, is_bound = _evaluation(state, score.node), getattr(entry, "is_bound", False)
    return Decision(at, importance, _outcome(entry), is_bound=is_bound)


def _scan(state: State, entry: Entry) -> Decision:
    """Rank a finished scan; of equal importances the last one leads, as the strategy has it."""
    current = state.current.loss
    first, *others = sorted(state.scores, key=lambda score: (score.loss, -score.node))
    rival, second = (others[0].node, current - others[0].loss) if others else (None, None)
    at, outcome = _evaluation(state, first.node), _outcome(entry)
    return Decision(at, current - first.loss, outcome, rival, second, first.is_bound)


def _outcome(entry: Entry) -> str:
    kinds = {Removed: REMOVED, Ignored: IGNORED, LayerFinished: FINISHED}
    return kinds.get(type(entry), KEPT)


def _settled(state: State) -> int:
    whole = sum(layer.nodes for layer in state.layers[: state.layer])
    if state.finished:
        return whole
    return whole + len(state.removed[state.layer]) + len(state.ignored)
