"""Kill, interrupt and corrupt runs on a file system: python scripts/torture.py --folder PLACE.

A small case is run once undisturbed; every disturbed run must end with the same bits. The
machinery: `torture/`; the last result: docs/reliability.md.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from kvasir_prune.cli.progress import RichProgress  # noqa: E402
from kvasir_prune.publish import publish_text  # noqa: E402
from torture.case import Ground, make_case  # noqa: E402
from torture.corruptions import corrupt  # noqa: E402
from torture.interruptions import interrupt  # noqa: E402
from torture.kills import kill  # noqa: E402
from torture.nursery import Nursery  # noqa: E402
from torture.overhead import overhead  # noqa: E402
from torture.races import race  # noqa: E402
from torture.signals import send  # noqa: E402
from torture.sweeps import kill_sweeps  # noqa: E402


def main(
    *,
    folder: Annotated[
        Path | None,
        typer.Option(help="Where to work, made if need be: the file system that is tested."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of all moments and places.")] = 0,
    kills: Annotated[int, typer.Option(min=0, help="SIGKILLs at random moments.")] = 200,
    signals: Annotated[int, typer.Option(min=0, help="Signals that stop a run, likewise.")] = 60,
    interruptions: Annotated[
        int | None,
        typer.Option(min=0, help="Operations of a pruning run to interrupt; default: every one."),
    ] = None,
    corruptions: Annotated[int, typer.Option(min=0, help="Files to damage.")] = 1000,
    races: Annotated[int, typer.Option(min=0, help="Pairs of processes on one folder.")] = 50,
    sweep_kills: Annotated[
        int, typer.Option(min=0, help="SIGKILLs to the driver and the workers of a sweep; on Ray.")
    ] = 0,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the figures there.")
    ] = None,
    overhead_of: Annotated[
        Path | None,
        typer.Option(help="Instead: what the commits of this finished run cost."),
    ] = None,
) -> None:
    """Torture the small case; exit code 1 if anything came of it."""
    if overhead_of is not None:
        print(json.dumps(overhead(overhead_of), indent=2))
        return
    progress = RichProgress(Console(stderr=True))
    found: dict[str, Any] = {"seed": seed}
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix="torture-") as name:
        place = Path(name)
        if sweep_kills:
            found["sweep"] = kill_sweeps(place / "sweep", sweep_kills, seed, progress)
        with Nursery(place / "logs") as nursery:
            case = make_case(place / "case", nursery)
            ground = Ground(case, nursery, place, progress)
            if kills:
                killed = kill(ground, kills, seed)
                found["kills"] = vars(killed)
            if signals:
                found["signals"] = vars(send(ground, signals, seed))
            if interruptions != 0:
                count, faults = interrupt(ground, interruptions)
                found["interruptions"] = {"operations": count, "faults": faults}
            if corruptions:
                outcomes, faults = corrupt(ground, corruptions, seed)
                found["corruptions"] = {"outcomes": outcomes, "faults": faults}
            if races:
                count, faults = race(ground, races)
                found["races"] = {"races": count, "faults": faults}
    text = json.dumps(found, indent=2)
    if json_file is not None:
        publish_text(json_file, text + "\n")
    print(text)
    raise typer.Exit(int(any(_faults(part) for part in found.values())))


def _faults(part: Any) -> list[str]:
    """Return what went wrong in one of the tortures."""
    if not isinstance(part, dict):
        return []
    names = ("unreadable", "lost", "differing", "faults")
    return [line for name in names for line in part.get(name, ())]


if __name__ == "__main__":
    typer.run(main)
