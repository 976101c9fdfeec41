"""Beginning a run with the network that another run has trained from the same images."""

from __future__ import annotations

import shutil

from kvasir_prune.errors import RunFolderError
from kvasir_prune.experiment.context import Run
from kvasir_prune.experiment.folder import RunFolder
from kvasir_prune.ledger import run_record
from kvasir_prune.publish import publishing


def adopt_training(run: Run, trained: RunFolder) -> None:
    """Copy what a training is, and pin it as if the run had trained itself.

    Nothing is done where the run has its network already. Killed in the middle, it is done again.

    Args:
        run: without a network; its data, model, training and seed are those of `trained`.
        trained: another run, up to its network; the caller sees to it that nobody works on it.

    Raises:
        RunFolderError: the other run has no network.
        LedgerError: one of its files is damaged.
    """
    own = run.folder
    if run.has(own.model):
        return
    record = trained.read_record()
    if record is None or not run_record.is_finished(record, trained.model):
        raise RunFolderError("There is no trained network to begin with.", where=trained.path)
    own.training.mkdir(exist_ok=True)
    for source, target in (
        (trained.data, own.data),
        (trained.split, own.split),
        (trained.data_check, own.data_check),
        (trained.history, own.history),
        (trained.model, own.model),
    ):
        run_record.check_file(record, source)
        with publishing(target) as temporary:
            shutil.copyfile(source, temporary)
    for kind, digest in record["digests"].items():
        if kind != "config":
            run.pin(kind, digest)
    run.seal(own.data, own.split, own.data_check, own.history, own.model)
