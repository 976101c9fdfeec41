"""The command that does many runs: every setting of a sweep with every seed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kvasir_prune.cli import dry_run
from kvasir_prune.cli.progress import RichProgress
from kvasir_prune.cli.resuming import console, farewell, own_command, telling_how_to_go_on
from kvasir_prune.cli.running import refuse_ignored
from kvasir_prune.cli.signals import interruptible
from kvasir_prune.config.sweep import load_sweep
from kvasir_prune.errors import KvasirPruneError

SWEEPS = Path("sweeps")


def sweep(
    config: Annotated[
        Path, typer.Argument(metavar="CONFIG", help="YAML file of the sweep.", show_default=False)
    ],
    *,
    folder: Annotated[
        Path | None, typer.Option("--folder", help="Folder of the sweep; default: sweeps/NAME.")
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="A.B=VALUE", help="Override one key of the YAML file."),
    ] = None,
    workers: Annotated[
        int, typer.Option("--workers", min=1, help="Trials at once, in processes of their own.")
    ] = 1,
    address: Annotated[
        str | None,
        typer.Option(
            "--address", help="Of a Ray cluster that does the trials.", metavar="HOST:PORT"
        ),
    ] = None,
    gpus: Annotated[
        float, typer.Option("--gpus-per-trial", min=0.0, help="May be a fraction of one.")
    ] = 0.0,
    only: Annotated[
        list[str] | None,
        typer.Option(
            "--only",
            metavar="SETTING",
            help="Work on this setting alone, or on all that match, as 'mnist*' does; may be "
            "given more than once.",
        ),
    ] = None,
    dry: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Only say which trials there are, how far, and how long they take."
        ),
    ] = False,
    tables: Annotated[
        bool, typer.Option("--tables", help="Only write the tables of the trials that are done.")
    ] = False,
) -> None:
    r"""Do a run for every setting and every seed of a sweep, and table what came of them.

    Each is a trial: a run with a folder of its own under trials/, which goes
    on where it stopped. Trials that begin with the same images, network,
    training and seed share one trained network, also those of other sweeps
    (in the folder "shared" beside this one's), and the importances of its
    nodes where they ask for the same. tables/trials.csv has a row for every
    trial that is done, tables/summary.csv their statistics over the seeds.
    Called again, the sweep does what is missing; settings and seeds may be
    added.

    With --workers, --address or --gpus-per-trial the trials run on Ray (pip
    install 'kvasir-prune\[ray]'), each with one thread unless runtime.threads
    says otherwise; on a cluster, in a folder that all its machines share.

    With --dry-run no trial is done. Settings of which none is done yet are
    timed on their first steps and some nodes, half a minute each or less;
    data that are not there are fetched for it.
    """
    # Not before it is asked for: pandas would make every other command wait.
    from kvasir_prune.laboratory.on_ray import on_ray
    from kvasir_prune.laboratory.sweep_folder import SweepFolder
    from kvasir_prune.laboratory.sweeping import chosen, one_by_one, run_sweep, standings
    from kvasir_prune.laboratory.tables import publish_tables

    if tables:
        refuse_ignored({"--only": only, "--dry-run": dry}, "has no effect beside --tables")
    found = load_sweep(config, set_ or ())
    place = SweepFolder(folder or SWEEPS / found.config.name)
    shared = place.path.parent / "shared"
    place.check(found)
    several = workers > 1 or address is not None or gpus > 0
    if dry:
        asked = chosen(found, only or ())
        at_once = None if address or gpus else workers
        dry_run.show(standings(found, place, shared), asked, at_once)
        return
    if tables:
        done = [one.trial for one in standings(found, place, shared) if one.done]
        print(publish_tables(found, done, place.tables))
        return
    worker = on_ray(workers, address=address, gpus=gpus) if several else one_by_one()
    progress = RichProgress(console)
    with telling_how_to_go_on(), interruptible(farewell):
        refused = run_sweep(
            found,
            place,
            shared,
            progress=progress,
            command=own_command(),
            worker=worker,
            only=only or (),
        )
    print(place.tables)
    if refused:
        raise typer.Exit(KvasirPruneError.exit_code)
