"""Random damage to the files of a run: told, mended or harmless, but never silent.

Told is enough only where nothing beside the file could tell what was in it.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np

from kvasir_prune.ledger import run_record
from kvasir_prune.publish import previous
from torture.case import AFTER_IMPORTANCE, RUN, Ground, Result, differences, result_of
from torture.interruptions import operations_of

PATTERNS = (
    "*.h5",
    "*.csv",
    "*.json",
    "*.keras",
    "*.yaml",
    "cache/*",
    "training/*.csv",
    "training/*.h5",
    "report/report.*",
)
"""Files that a result depends on, those of the commit before the last among them."""
PAGE = 4096
REFUSED = 2
INTERRUPTED = 1 / 3
"""Share of corruptions whose first resume is killed."""
OUTCOMES = {"told", "mended", "harmless"}
EVALUATION = ("evaluation.h5", "thumbnails.h5", "cost.json", "latency.json")
AFTER_TRAINING = ("model.keras", "importance*.h5", *AFTER_IMPORTANCE)
STATES = {
    "in training": (("train", *RUN[1:]), (*AFTER_TRAINING, "training")),
    "trained": (None, AFTER_TRAINING),
    "in pruning": (("prune", *RUN[1:], "--set", "pruning.commit_every_s=0"), AFTER_IMPORTANCE),
    "pruned": (None, (*EVALUATION, "report")),
    "evaluated": (None, ("report",)),
}
"""How far the run is -> the command that was killed half-way, and what it had not made before."""


def corrupt(ground: Ground, count: int, seed: int) -> tuple[Counter[str], list[str]]:
    """Damage copies of the case and go on with them, at times killed while they mend it.

    Args:
        ground: where.
        count: of corruptions.
        seed: of files, kinds and places.

    Returns:
        Outcome -> how often (told, mended or harmless), and what went wrong, a line each.
    """
    random, outcomes, faults = np.random.default_rng(seed), Counter[str](), list[str]()
    folder, states = ground.place / "corrupted", _states(ground)
    with ground.progress.task("Corruptions", count) as task:
        for _ in range(count):
            state = str(random.choice(list(states)))
            run = replace(ground.case, folder=states[state]).copy(folder)
            files = sorted(
                file for pattern in PATTERNS for file in run.glob(pattern) if file.stat().st_size
            )
            path = files[random.integers(len(files))]
            may_refuse = _may_refuse(run, path)
            done = _damage(path, random)
            damaged = path.read_bytes() if path.exists() else None
            said = ""
            if random.random() < INTERRUPTED:
                child = ground.nursery.start(folder, RUN, int(random.integers(1, 12)))
                child.wait()
                said = child.log.read_text()
            child = ground.nursery.start(folder, RUN)
            code = child.wait()
            said += child.log.read_text()
            outcome = _outcome(code, said, run, ground.case.result)
            outcomes[outcome] += 1
            fresh = _lost_evidence(path, damaged, said)
            if outcome not in OUTCOMES or (outcome == "told" and not may_refuse):
                fresh.append(f"{state}, {path.relative_to(run)}: {done}: {outcome}; {said[-400:]}")
            for fault in fresh:
                ground.progress.note(fault)
            faults += fresh
            task.advance(faults=len(faults))
    return outcomes, faults


def _may_refuse(run: Path, path: Path) -> bool:
    """Return whether nothing beside a file tells what was in it, or it may be somebody's wish."""
    record = run_record.read(run / "run.json")
    assert record is not None
    if path.parent.name == "report":
        # Written anew on request only: somebody may have written notes into it.
        return True
    if path.name in {"data.json", "split.csv", "history.csv", "model.keras"}:
        return path.name in record["files"]
    if path.name == "checkpoint.h5" or path.match("best-*.h5"):
        return not (run / "model.keras").exists()
    return path.name in {"pruning.h5", "importance.h5", "run.json"} and not previous(path).exists()


def _lost_evidence(path: Path, damaged: bytes | None, said: str) -> list[str]:
    """Return a line if a damaged file was not kept where the run says that it is."""
    kept = re.search(r"kept as (\S*\.damaged-\d+\.\w+)", said)
    if kept is None or damaged is None:
        return []
    where = path.with_name(kept[1])
    is_kept = where.exists() and where.read_bytes() == damaged
    return [] if is_kept else [f"{where.name} is not what {path.name} was"]


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
    report_is_told = "report.json is damaged" in said
    parts = differences(result_of(run), expected)
    if report_is_told and parts in ([], ["report.json"]):
        return "told"
    if parts:
        return f"silent: {', '.join(parts[:5])}"
    return "mended" if "damaged" in said else "harmless"


def _damage(path: Path, random: np.random.Generator) -> str:
    """Cut a file short, flip a bit of it, zero a page or delete it; return what was done."""
    content = bytearray(path.read_bytes())
    place = int(random.integers(len(content)))
    match str(random.choice(["cut", "flip", "zero", "gone"])):
        case "gone":
            path.unlink()
            return "deleted"
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
