"""From the text logs of 2020 to a ledger and a report of what they hold."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from shutil import rmtree
from tempfile import TemporaryDirectory

from kvasir_prune.errors import RunFolderError
from kvasir_prune.experiment.folder import RunFolder
from kvasir_prune.ledger import HDF5Ledger
from kvasir_prune.ledger.thesis_events import entries_of, evolution_of
from kvasir_prune.ledger.thesis_logs import read_logs
from kvasir_prune.publish import put_in_place, sha256_file
from kvasir_prune.report.imported import imported_record, read_imported
from kvasir_prune.report.imported_page import write_imported
from kvasir_prune.types import LayerSize


def import_thesis(logs_folder: Path, layers: Sequence[LayerSize], folder: RunFolder) -> Path:
    """Write the ledger and the report of some logs.

    Args:
        logs_folder: holds `Pruning`, `Evolution` and `Estimate`.
        layers: the network's hidden layers, first to last.
        folder: new or empty; receives `pruning.h5` and `report/`.

    Returns:
        Path of the HTML file.

    Raises:
        RunFolderError: the folder holds other files, or is none.
        LedgerError: there are no logs, or they do not fit the layers.
    """
    target = folder.path.resolve()
    _refuse_used(target)
    logs = read_logs(logs_folder, layers)
    baseline, entries = entries_of(logs)
    digests = {f"sha256 {name}": sha256_file(logs_folder / name) for name in logs.read}
    place, prefix = target.parent, f".{target.name}.importing-"
    place.mkdir(parents=True, exist_ok=True)
    for killed in place.glob(f"{prefix}*"):
        rmtree(killed, ignore_errors=True)
    # Beside the folder, then renamed: there is a whole import or none.
    with TemporaryDirectory(dir=place, prefix=prefix) as name:
        made = RunFolder(Path(name) / "run")
        made.report.mkdir(parents=True)
        ledger = HDF5Ledger(made.ledger, layers=logs.layers, baseline=baseline, identity=digests)
        ledger.record(entries)
        ledger.record_evolution(evolution_of(logs))
        write_imported(imported_record(logs, logs_folder), made.report)
        put_in_place(made.path, target)
    return folder.report / "report.html"


def _refuse_used(path: Path) -> None:
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise RunFolderError(
            "The folder for the imported logs is not empty, or no folder.",
            where=path,
            expected="a new or empty folder",
            fix="give another one with --run-dir",
        )


def renew_imported(folder: RunFolder) -> Path:
    """Write the report of imported logs anew; returns and raises as `import_thesis`."""
    return write_imported(read_imported(folder.imported), folder.report)
