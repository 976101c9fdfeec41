"""Compare the exact scorer with the literal way of the thesis: python scripts/benchmark.py SUITE.

Both in one process, on one machine, with the same weights. Networks are trained once and kept in
`--cache`; training is never timed. The machinery and what each figure means: `benchmarks/`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.suites import SUITES  # noqa: E402
from kvasir_prune import backend  # noqa: E402
from kvasir_prune.cli.progress import RichProgress  # noqa: E402
from kvasir_prune.publish import publish_text  # noqa: E402


def main(
    suite: Annotated[str, typer.Argument(metavar="SUITE", help=", ".join(SUITES))],
    *,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the figures there.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the split and the weights.")] = 0,
    cache: Annotated[
        Path, typer.Option(help="Folder of prepared images and trained networks.")
    ] = Path("checkpoints/benchmark"),
    scorer: Annotated[
        str, typer.Option(help="What stands beside the literal way: exact or reference.")
    ] = "exact",
    full: Annotated[
        bool,
        typer.Option(
            "--full",
            help="Run the literal way in full, for hours if need be; killed, it goes on next time.",
        ),
    ] = False,
    limit_images: Annotated[
        int | None, typer.Option(min=2, help="Score on so many images; for a quick look.")
    ] = None,
    growth: Annotated[
        str | None, typer.Option(help="Instead: how cost grows with `images` or `width`.")
    ] = None,
) -> None:
    """Measure one suite."""
    _check("suite", suite, SUITES)
    _check("--scorer", scorer, ("exact", "reference"))
    _check("--growth", growth, (None, "images", "width"))
    backend.load()
    threads = backend.available_threads()
    backend.configure(seed, threads)

    from benchmarks.growth import growth as growth_of
    from benchmarks.problem import problem_of
    from benchmarks.report import table_of
    from benchmarks.run import benchmark

    console = Console(stderr=True)
    progress = RichProgress(console)
    chosen = SUITES[suite]
    problem = problem_of(
        chosen,
        scorer=scorer,
        seed=seed,
        cache=cache,
        limit_images=limit_images,
        progress=progress,
    )
    if growth:
        title = f"{suite}, growth by {growth}"
        figures = {
            "suite": suite,
            "growth": growth,
            "seed": seed,
            "scorer": scorer,
            **growth_of(problem, growth, progress),
        }
    else:
        title = suite
        figures = benchmark(chosen, problem, full=full, threads=threads, progress=progress).json()
    if json_file:
        publish_text(json_file, json.dumps(figures, indent=2) + "\n")
    Console().print(table_of(title, figures))


def _check(name: str, got: object, allowed: object) -> None:
    if got not in allowed:  # type: ignore[operator]
        raise typer.BadParameter(f"{name} {got!r} is none of: {allowed}")


if __name__ == "__main__":
    typer.run(main)
