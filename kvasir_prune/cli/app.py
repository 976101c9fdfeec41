"""The commands. Each parses, calls and prints; the work is done elsewhere."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from kvasir_prune import __version__
from kvasir_prune.cli.data_check import findings_table
from kvasir_prune.cli.import_thesis import import_logs
from kvasir_prune.cli.plan import document_of, sentences_of, table_of
from kvasir_prune.cli.progress import RichProgress
from kvasir_prune.cli.resuming import console, farewell, own_command
from kvasir_prune.cli.running import folder_of, load_keras, refuse_ignored, run_until
from kvasir_prune.cli.signals import interruptible
from kvasir_prune.cli.status import status_table, watch_status
from kvasir_prune.cli.supervisor import supervise, without_retries
from kvasir_prune.cli.sweep import sweep
from kvasir_prune.config import RunConfig, dump, load_config
from kvasir_prune.experiment.folder import RunFolder
from kvasir_prune.experiment.going_on import prepared, reached_stage
from kvasir_prune.experiment.status import status_of

app = typer.Typer(
    name="kvasir-prune",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="""Train an image classifier, measure what every node of it contributes, remove the nodes
    that do not earn their place, and report what that did to each class.

    One YAML file describes a run; [bold]kvasir-prune run CONFIG[/bold] does all of it and goes on
    where it stopped. The other commands do the same up to one stage.""",
    epilog="Exit codes: 0 done, 1 a bug, 2 your input; 74 the disk, 75 the device, 130, 138 or "
    "143 stopped by a signal: the same command goes on.",
)

Config = Annotated[
    Path, typer.Argument(metavar="CONFIG", help="YAML file of the run.", show_default=False)
]
RunDir = Annotated[
    Path | None,
    typer.Option("--run-dir", help="Folder of the run; default: checkpoints/NAME."),
]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="A.B=VALUE",
        help="Override one key of the YAML file; may be given more than once.",
    ),
]
AcceptDeviceChange = Annotated[
    bool,
    typer.Option(
        "--accept-device-change",
        help="Go on although this is another CPU or GPU model than the run was made on; the "
        "result is then not, bit for bit, that of one device. Recorded.",
    ),
]


@app.command()
def run(
    config: Config,
    run_dir: RunDir = None,
    set_: Set = None,
    accept_device_change: AcceptDeviceChange = False,
    retries: Annotated[
        int,
        typer.Option(min=0, help="When the device fails, go on in a new process so many times."),
    ] = 0,
) -> None:
    """Do everything that is not done yet: data, training, importance, pruning, report.

    Called again after an interruption it goes on; called again after the end it says so.
    """
    if retries:
        arguments = without_retries(sys.argv[1:])
        raise typer.Exit(supervise(arguments, retries, RichProgress(console).note))
    run_until("report", config, run_dir, set_, accept_device_change=accept_device_change)


@app.command()
def data(
    config: Config,
    run_dir: RunDir = None,
    set_: Set = None,
    check: Annotated[
        bool,
        typer.Option("--check", help="Print what every check of the images found."),
    ] = False,
) -> None:
    """Read, decode, resize, divide and check the images; writes split.csv and data_check.json.

    The checks look for what makes a comparison worthless however good the
    network: copies and near-duplicates on both sides of the split; borders,
    blanked regions and sizes of images that tell the class; classes too small
    to judge. Those that failed are always told.
    """
    folder = run_until("data", config, run_dir, set_)
    if check:
        Console().print(findings_table(folder))


@app.command()
def train(config: Config, run_dir: RunDir = None, set_: Set = None) -> None:
    """Train the network; writes model.keras. Does the stage before if need be."""
    run_until("train", config, run_dir, set_)


@app.command()
def importance(config: Config, run_dir: RunDir = None, set_: Set = None) -> None:
    """Measure every node's importance; writes importance.h5. Does the stages before if need be."""
    run_until("importance", config, run_dir, set_)


@app.command()
def prune(config: Config, run_dir: RunDir = None, set_: Set = None) -> None:
    """Remove nodes and cut them out; writes pruning.h5 and pruned.keras. Stages before too."""
    run_until("prune", config, run_dir, set_)


@app.command()
def report(
    what: Annotated[
        list[Path],
        typer.Argument(
            metavar="CONFIG | RUN_DIR RUN_DIR ...",
            help="YAML file of a run; or folders of finished runs, to be compared.",
            show_default=False,
        ),
    ],
    run_dir: RunDir = None,
    set_: Set = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", help="With several runs: folder of the comparison; default: comparison."
        ),
    ] = None,
) -> None:
    """Evaluate and write the report; after the evaluation it is written without TensorFlow.

    Writes report/report.html, report.md and report.json.

    With the folders of several finished runs, writes them side by side: the
    pruned networks of the others compared with that of the first, image by
    image, where they have the same test images.
    """
    if len(what) > 1:
        refuse_ignored(
            {"--run-dir": run_dir, "--set": set_}, "is not for several runs; give their folders"
        )
        from kvasir_prune.experiment.reporting import compare_runs

        print(compare_runs([RunFolder(folder) for folder in what], output or Path("comparison")))
        return
    refuse_ignored({"--output": output}, "is for several runs")
    config, folder = what[0], run_dir
    if RunFolder(config).imported.exists():
        refuse_ignored({"--run-dir": run_dir, "--set": set_}, "is not for imported logs")
        from kvasir_prune.experiment.importing import renew_imported

        print(renew_imported(RunFolder(config)))
        return
    if config.is_dir():
        config, folder = config / "config.yaml", run_dir or config
    run_until("report", config, folder, set_, renew_report=True)


@app.command("plan")
def show_plan(
    config: Config,
    run_dir: RunDir = None,
    set_: Set = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say beforehand what a run will need: evaluations, memory and time.

    Prepares the images, then times the scorer on this machine, on a few nodes
    and images of each layer: half a minute, more for large networks. It
    trains and prunes nothing. The network is model.keras if the run folder
    has one, otherwise the initial weights, whose speed only resembles the
    trained one's. How often greedy pruning comes back to a node nobody knows
    beforehand: expect the total within about a factor of 2, and plan again
    when importance.h5 is there. Training is not planned.

    The folder then belongs to this configuration; to compare others, give
    each a --run-dir.
    """
    parsed = load_config(config, set_ or ())
    folder = folder_of(parsed, run_dir)
    progress = RichProgress(console)
    folder.create()
    with folder.owned(), interruptible(farewell):
        reached_stage(parsed, folder, progress)
        under_way = prepared(parsed, folder, progress, own_command())
        load_keras()
        from kvasir_prune.experiment.plan import plan

        found = plan(under_way)
    if as_json:
        print(json.dumps(document_of(found), indent=2))
        return
    Console().print(table_of(found))
    for sentence in sentences_of(found):
        print(sentence)


@app.command()
def status(
    run_dir: Annotated[Path, typer.Argument(metavar="RUN_DIR", help="Folder of a run.")],
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON: numbers instead of words.")
    ] = False,
    watch: Annotated[
        bool,
        typer.Option(
            "--watch",
            help="Show it anew every two seconds, until it is finished or Ctrl-C; with --json a "
            "line for every look.",
        ),
    ] = False,
) -> None:
    """Say how far a run is, while it works or after it stopped; disturbs nobody."""
    folder = RunFolder(run_dir)
    if watch:
        watch_status(folder, as_json=as_json)
        return
    found = status_of(folder)
    if as_json:
        print(json.dumps({"stage": found.stage, **found.facts}, indent=2))
    else:
        Console().print(status_table(found))


app.command()(sweep)
app.command("import-thesis")(import_logs)


@app.command("config")
def show_config(
    config: Annotated[Path | None, typer.Argument(metavar="[CONFIG]")] = None,
    schema: Annotated[
        bool, typer.Option("--schema", help="Print the JSON schema, for editors.")
    ] = False,
    set_: Set = None,
) -> None:
    """Check a configuration and print it resolved, every key written out."""
    if schema:
        print(json.dumps(RunConfig.model_json_schema(), indent=2))
    elif config is None:
        raise typer.BadParameter("give a YAML file, or --schema", param_hint="CONFIG")
    else:
        print(dump(load_config(config, set_ or ())), end="")


@app.callback(invoke_without_command=True)
def main_options(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Handle what stands before the command."""
    if version:
        print(__version__)
        raise typer.Exit
