"""The tables of docs/chapter4.md of the sweeps whose trials are kept.

Those of older sweeps stand in the document as they were printed, and so does p of their claims,
which is adjusted over all rows of a claim.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

from chapter4.findings import Finding, findings
from chapter4.kept import KEPT, comparison_of, kept_names, trials_of
from kvasir_prune.report import notation

LEFT_OUT = r"mean_importance_of_|removed\.|test\.accuracy_(?:before|after)\.|seconds\.train"
"""Quantities that the document leaves out."""
STAGES = {
    "prune": "pruning",
    "evaluate": "evaluation",
    "random_removal": "draws",
}


def sections(kept: Path = KEPT) -> Iterator[str]:
    """Yield Markdown: the findings, then for every sweep its statistics beside the thesis's.

    Args:
        kept: as in `chapter4.kept.keep`.
    """
    yield from _findings(findings(kept))
    for name in kept_names(kept):
        if (comparison := comparison_of(name, kept)) is not None:
            yield from _sweep(name, trials_of(name, kept), comparison)


def _findings(found: Sequence[Finding]) -> Iterator[str]:
    yield "## What holds of the thesis's findings\n"
    for claim in dict.fromkeys(one.claim for one in found):
        yield f"**{claim}.**\n"
        rows = [
            (one.where, one.numbers, notation.p_value(one.p), _answer(one.holds))
            for one in found
            if one.claim == claim
        ]
        yield _table(("where", "found", "p", "holds"), rows)


def _answer(holds: bool | None) -> str:
    return "not to be told" if holds is None else "yes" if holds else "no"


def _sweep(name: str, trials: pd.DataFrame, found: pd.DataFrame) -> Iterator[str]:
    yield f"## {name}\n"
    yield f"{len(trials)} trials. {_times(trials)}\n"
    rows = []
    for row in found[~found["quantity"].str.contains(LEFT_OUT)].to_dict("records"):
        place = row["setting"] + (f", {row['nodes']} nodes" if "nodes" in row else "")
        ours, theirs = (_spread(row, prefix) for prefix in ("", "published."))
        change = notation.number(row["difference"])
        p = notation.p_value(None if pd.isna(row["p_holm"]) else row["p_holm"])
        rows.append((place, row["quantity"], ours, theirs, change, p))
    yield _table(("setting", "quantity", "here", "thesis", "difference", "p"), rows)


def _spread(row: dict[str, float], prefix: str) -> str:
    mean, std, count = (row[f"{prefix}{name}"] for name in ("mean", "std", "count"))
    spread = "" if pd.isna(std) else f" ± {notation.number(std)}"
    number = "" if pd.isna(count) else f" ({notation.count(int(count))})"
    return f"{notation.number(mean)}{spread}{number}"


def _times(trials: pd.DataFrame) -> str:
    """Say how long the trials took, and beside it what other sweeps share of it."""
    sums = {word: _minutes(trials, stage) for stage, word in STAGES.items()}
    spent = ", ".join(f"{word} {minutes:.1f} min" for word, minutes in sums.items() if minutes)
    own = f"Time of all trials together, one thread each: {spent}. " if spent else ""
    networks = trials.drop_duplicates("network")
    count, minutes = notation.plural(len(networks), "network"), _minutes(networks, "train")
    shared = f"Training of their {count}, wherever that was done, took {minutes:.1f} min"
    # Trials that share importances all tell how long those took.
    alike = trials.columns.intersection(["network", "seconds.importance"])
    if measuring := _minutes(trials.drop_duplicates(alike), "importance"):
        shared += f", measuring importances {measuring:.1f} min"
    return f"{own}{shared}."


def _minutes(trials: pd.DataFrame, stage: str) -> float:
    return float(trials.get(f"seconds.{stage}", pd.Series(dtype=float)).sum()) / 60


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)]) + "\n"
