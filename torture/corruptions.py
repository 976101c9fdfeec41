"""Random damage to the files of a run: it must be told, mended or harmless, never silent."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np

from torture.case import AFTER_IMPORTANCE, RUN, Ground, Result, differences, result_of
from torture.interruptions import operations_of

PATTERNS = (
    "*.h5",
    "*.csv",
    "*.json",
    "*.keras",
    "cache/*",
    "training/*.csv",
    "training/*.h5",
)
"""Files that a result depends on, those of the commit before the last among them."""
PAGE = 4096
REFUSED = 2
AFTER_TRAINING = ("model.keras", "importance*.h5", *AFTER_IMPORTANCE)
STATES = {
    "in training": (("train", *RUN[1:]), (*AFTER_TRAINING, "training")),
    "trained": (None, AFTER_TRAINING),
    "in pruning": (("prune", *RUN[1:], "--set", "pruning.commit_every_s=0"), AFTER_IMPORTANCE),
    "pruned": (None, ("evaluation.h5", "cost.json", "report")),
    "evaluated": (None, ("report",)),
}
"""How far the run is -> the command that was killed half-way, and what it had not made before."""


def corrupt(ground: Ground, count: int, seed: int) -> tuple[Counter[str], list[str]]:
    """Damage copies of the case and go on with them.

    Args:
        ground: where.
        count: of corruptions.
        seed: of files, kinds and places.

    Returns:
        Outcome -> how often (told, mended or harmless, silent), and the silent ones, a line each.
    """
    random, outcomes, silent = np.random.default_rng(seed), Counter[str](), list[str]()
    folder, states = ground.place / "corrupted", _states(ground)
    with ground.progress.task("Corruptions", count) as task:
        for _ in range(count):
            state = str(random.choice(list(states)))
            run = replace(ground.case, folder=states[state]).copy(folder)
            files = sorted(
                file for pattern in PATTERNS for file in run.glob(pattern) if file.stat().st_size
            )
            path = files[random.integers(len(files))]
            words = f"{state}, {path.relative_to(run)}: {_damage(path, random)}"
            child = ground.nursery.start(folder, RUN)
            code, said = child.wait(), child.log.read_text()
            outcome = _outcome(code, said, run, ground.case.result)
            outcomes[outcome] += 1
            if outcome not in {"told", "mended", "harmless"}:
                silent.append(f"{words}: {outcome}; {said[-300:]}")
            task.advance(silent=len(silent))
    return outcomes, silent


def _states(ground: Ground) -> dict[str, Path]:
    """Bring a copy of the case into every state."""
    found = {}
    for state, (command, missing) in STATES.items():
        folder = found[state] = ground.place / state.replace(" ", "-")
        ground.case.copy(folder, *missing)
        if command:
            total = operations_of(ground, folder, command)
            ground.case.copy(folder, *missing)
            ground.nursery.start(folder, command, total // 2).wait()
    return found


def _outcome(code: int | None, said: str, run: Path, expected: Result) -> str:
    if code == REFUSED and "kvasir-prune: " in said and "Traceback" not in said:
        return "told"
    if code != 0:
        return f"exit code {code}"
    parts = differences(result_of(run), expected)
    if parts:
        return f"silent: {', '.join(parts[:5])}"
    return "mended" if "damaged" in said else "harmless"


def _damage(path: Path, random: np.random.Generator) -> str:
    """Cut a file short, flip a bit of it or zero a page; return what was done."""
    content = bytearray(path.read_bytes())
    place = int(random.integers(len(content)))
    match str(random.choice(["cut", "flip", "zero"])):
        case "cut":
            del content[place:]
            done = f"cut at byte {place}"
        case "flip":
            bit = int(random.integers(8))
            content[place] ^= 1 << bit
            done = f"bit {bit} of byte {place} flipped"
        case _:
            page = slice(place // PAGE * PAGE, place // PAGE * PAGE + PAGE)
            content[page] = bytes(len(content[page]))
            done = f"page {place // PAGE} zeroed"
    path.write_bytes(content)
    return done
