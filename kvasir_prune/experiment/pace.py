"""How fast a run scores, kept beside its results in `pace.json`, for whoever asks what is left.

Nothing depends on it: without the file, or with a damaged one, there is no time left to tell.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kvasir_prune.publish import publish_text

SCHEMA_VERSION = 1
IMPORTANCE, PRUNING = "importance", "pruning"
NOMINAL = 1e10
"""Multiply-adds in a second, before anything has been timed."""
TRUSTED = 16
"""Evaluations that a layer's own pace needs to weigh as much as what was expected of it."""
PUBLISH_EVERY_S = 5.0


class Pace:
    """Seconds per evaluation of every layer, by stage.

    Args:
        work: layer name -> multiply-adds on the whole scoring set, of one evaluation and of what is
            run once before the first.
        spent: stage -> layer name -> evaluations made, and the seconds they took.
    """

    def __init__(
        self,
        work: Mapping[str, tuple[int, int]],
        spent: Mapping[str, Mapping[str, tuple[float, float]]] | None = None,
    ) -> None:
        self.work = dict(work)
        self.spent = {stage: dict((spent or {}).get(stage, {})) for stage in (IMPORTANCE, PRUNING)}

    def took(self, stage: str, layer: str, evaluations: int, seconds: float) -> None:
        """Count evaluations and the seconds they took."""
        made, needed = self.spent[stage].get(layer, (0.0, 0.0))
        self.spent[stage][layer] = (made + evaluations, needed + seconds)

    def seconds(self, stage: str, layer: str) -> float:
        """Return the seconds expected for one evaluation in a layer.

        The layer's own, weighed against what another stage took for it, or else against its
        work at the mean pace of all layers.
        """
        expected = self.work[layer][0] * self._seconds_per_multiply_add()
        for known in dict.fromkeys((IMPORTANCE, stage)):
            made, needed = self.spent[known].get(layer, (0.0, 0.0))
            expected = (TRUSTED * expected + needed) / (TRUSTED + made)
        return expected

    def start(self, stage: str, layer: str) -> float:
        """Return the seconds expected before a layer's first evaluation; 0 once it was made."""
        if layer in self.spent[stage]:
            return 0.0
        return self.work[layer][1] * self._seconds_per_multiply_add()

    def _seconds_per_multiply_add(self) -> float:
        spent = [(n, *pair) for by_layer in self.spent.values() for n, pair in by_layer.items()]
        work = sum(self.work[name][0] * made + self.work[name][1] for name, made, _ in spent)
        return sum(needed for *_, needed in spent) / work if work else 1 / NOMINAL


class PaceKeeper:
    """Times the steps of a stage inside a `with` block, and publishes the pace now and then.

    Args:
        path: of `pace.json`.
        work: as in `Pace`.
        stage: `IMPORTANCE` or `PRUNING`.
    """

    def __init__(self, path: Path, work: Mapping[str, tuple[int, int]], stage: str) -> None:
        known = read_pace(path)
        same = known is not None and known.work == dict(work)
        self.pace = known if known is not None and same else Pace(work)
        self._path, self._stage = path, stage
        self._last = self._published = time.monotonic()

    def took(self, layer: str, evaluations: int) -> None:
        """Count evaluations made since the last call."""
        now = time.monotonic()
        self.pace.took(self._stage, layer, evaluations, now - self._last)
        self._last = now
        if now - self._published >= PUBLISH_EVERY_S:
            self._publish()
            self._published = now

    def _publish(self) -> None:
        content = {
            "schema_version": SCHEMA_VERSION,
            "work": self.pace.work,
            "spent": self.pace.spent,
        }
        publish_text(self._path, json.dumps(content, indent=2) + "\n")

    def __enter__(self) -> PaceKeeper:
        self._publish()
        return self

    def __exit__(self, *_error: object) -> None:
        self._publish()


def read_pace(path: Path) -> Pace | None:
    """Read `pace.json`; None where there is none that can be read."""
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if content["schema_version"] != SCHEMA_VERSION:
            return None
        work = {str(name): (int(one), int(start)) for name, (one, start) in content["work"].items()}
        spent = {
            stage: {name: (float(made), float(needed)) for name, (made, needed) in by_layer.items()}
            for stage, by_layer in content["spent"].items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    if any(name not in work for by_layer in spent.values() for name in by_layer):
        return None
    return Pace(work, spent)
