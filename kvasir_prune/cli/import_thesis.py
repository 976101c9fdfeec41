"""The command that reads the text logs of the program of 2020."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from kvasir_prune.config.model import Vgg16
from kvasir_prune.experiment.folder import RunFolder
from kvasir_prune.types import LayerSize

_LAYER = re.compile(r"([\w.-]+):([1-9]\d{0,8})")


def import_logs(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="FOLDER",
            help="Folder with Pruning, Evolution and Estimate.",
            show_default=False,
        ),
    ],
    layers: Annotated[
        str,
        typer.Option(
            "--layers",
            metavar="vgg16 | NAME:NODES,...",
            help="Hidden layers of the pruned network, first to last.",
        ),
    ],
    run_dir: Annotated[
        Path, typer.Option("--run-dir", help="New folder for the ledger and the report.")
    ],
) -> None:
    """Read the text logs of the program of 2020 into a ledger; write what they hold as a report.

    The program (Charpentier 2020, chapter 5) appended to its logs and stopped
    often: missing files and blank lines are expected, and what was found in
    each file stands in the report. Pruning/removed.txt and Estimate/*.txt name
    nodes, one line a layer, last hidden layer first; Pruning/loss.txt,
    Pruning/accuracy.txt and Evolution/*.txt hold values, the first before any
    removal.
    """
    from kvasir_prune.experiment.importing import import_thesis

    print(import_thesis(folder, layers_named(layers), RunFolder(run_dir)))


def layers_named(text: str) -> tuple[LayerSize, ...]:
    """Return the layers that `vgg16` or `conv1:32,dense:128` names, first to last.

    Raises:
        typer.BadParameter: it is neither.
    """
    if text == "vgg16":
        return Vgg16(name="vgg16").hidden_layers
    found = [_LAYER.fullmatch(part.strip()) for part in text.split(",")]
    layers = [LayerSize(match[1], int(match[2])) for match in found if match]
    if len(layers) < len(found) or len({layer.name for layer in layers}) < len(layers):
        raise typer.BadParameter(
            f"{text!r} is neither vgg16 nor a list of layers and their nodes, first to last, such "
            "as conv1:32,dense:128, each name once",
            param_hint="--layers",
        )
    return tuple(layers)
