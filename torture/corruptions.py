"""Random damage to the files of a run: it must be told, mended or harmless, never silent."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np

from torture.case import RUN, Ground, Result, differences, result_of

FILES = (
    "pruning.h5",
    "importance.h5",
    "evaluation.h5",
    "split.csv",
    "cache/images.npy",
    "cache/images.csv",
    "model.keras",
    "pruned.keras",
    "run.json",
    "data.json",
    "cost.json",
    "training/history.csv",
    "training/checkpoint.h5",
)
PAGE = 4096
REFUSED = 2
STATES = {
    "training": ("model.keras", "importance.h5", "pruning.h5", "pruned.keras", "evaluation.h5"),
    "trained": ("importance.h5", "pruning.h5", "pruned.keras", "evaluation.h5", "report"),
    "pruned": ("evaluation.h5", "cost.json", "report"),
    "evaluated": ("report",),
}
"""How far the run is -> what it does not have yet."""


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
    folder = ground.place / "corrupted"
    with ground.progress.task("Corruptions", count) as task:
        for _ in range(count):
            state = str(random.choice(list(STATES)))
            run = ground.case.copy(folder, *STATES[state])
            name = str(random.choice([file for file in FILES if (run / file).exists()]))
            words = f"{state}, {name}: {_damage(run / name, random)}"
            child = ground.nursery.start(folder, RUN)
            code, said = child.wait(), child.log.read_text()
            outcome = _outcome(code, said, run, ground.case.result)
            outcomes[outcome] += 1
            if outcome not in {"told", "mended", "harmless"}:
                silent.append(f"{words}: {outcome}; {said[-300:]}")
            task.advance(silent=len(silent))
    return outcomes, silent


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
