"""How long the stages of a trial took, over all processes that worked on it.

A process that is killed tells nobody how long it was at its stage: the time of that stage is a part
only, and is marked as such.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kvasir_prune.experiment.folder import RunFolder
from kvasir_prune.publish import publish_text

TIMES = "times.json"
"""File in a trial's folder: `seconds`, stage -> float; `interrupted`, stages of which a part is
missing; `under_way`, whether a process has begun and not ended."""
DATA = "data"
"""What comes before the first stage: the images, and the network of another run."""
DRAWS = "random_removal"
"""What comes behind the last stage where nodes are drawn at random."""


def times_of(folder: RunFolder, *, whole: bool = False) -> dict[str, float]:
    """Return stage -> seconds, for the stages that a trial has finished.

    Args:
        folder: of the trial.
        whole: leave out stages of which a part is not known.
    """
    content = _read(folder.path / TIMES)
    left_out = content["interrupted"] if whole else ()
    return {stage: s for stage, s in content["seconds"].items() if stage not in left_out}


def publish_times(folder: RunFolder, seconds: Mapping[str, float]) -> None:
    """Tell what the stages of a folder took, whole; another telling is replaced."""
    content = {"seconds": seconds, "interrupted": [], "under_way": False}
    publish_text(folder.path / TIMES, json.dumps(content, indent=2) + "\n", durable=False)


class StageTimes:
    """Takes the times of a process that goes on with a trial.

    Args:
        folder: of the trial, owned by the caller.
        stages: of the trial, in order.
    """

    def __init__(self, folder: RunFolder, stages: Iterable[str]) -> None:
        self._path = folder.path / TIMES
        self._content = _read(self._path)
        if self._content["under_way"]:
            cut = next(stage for stage in (*stages, "") if stage not in self._content["seconds"])
            self._content["interrupted"] = sorted({*self._content["interrupted"], cut})
        self._content["under_way"] = True
        self._publish()

    def done(self, stage: str, seconds: float) -> None:
        """Add what this process took for a stage."""
        spent = self._content["seconds"]
        spent[stage] = spent.get(stage, 0.0) + seconds
        self._publish()

    @contextmanager
    def timing(self, stage: str) -> Iterator[None]:
        """Add what a `with` block takes to a stage, once it is done."""
        began = time.monotonic()
        yield
        self.done(stage, time.monotonic() - began)

    def is_of_others(self, stage: str, seconds: float | None) -> None:
        """Tell what a stage took that another trial has done, or a part of it; None: not known."""
        cut = {*self._content["interrupted"], stage}
        if seconds is not None:
            self._content["seconds"][stage] = seconds
            cut.remove(stage)
        self._content["interrupted"] = sorted(cut)
        self._publish()

    def end(self) -> None:
        """Tell that the process has done what it was to do."""
        self._content["under_way"] = False
        self._publish()

    def _publish(self) -> None:
        publish_text(self._path, json.dumps(self._content, indent=2) + "\n", durable=False)


def _read(path: Path) -> dict[str, Any]:
    empty = {"seconds": {}, "interrupted": [], "under_way": False}
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return empty
    return {**empty, **content}
