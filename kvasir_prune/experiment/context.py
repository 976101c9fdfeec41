"""What the stages of one run share: configuration, folder, record, and what is loaded on demand.

Keras is imported only where a network is asked for: what is wrong with a configuration, a folder
or the images is said before its seconds of start-up.
"""

from __future__ import annotations

import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kvasir_prune import backend, environment
from kvasir_prune.config import RunConfig, digest, identity, sealed, with_threads
from kvasir_prune.data import Dataset, prepare
from kvasir_prune.experiment.device import OTHER_DEVICE, check_device
from kvasir_prune.experiment.folder import RunFolder
from kvasir_prune.ledger import run_record
from kvasir_prune.ledger.identity import check, origin
from kvasir_prune.progress import Progress
from kvasir_prune.publish import publish_text

if TYPE_CHECKING:
    from kvasir_prune.importance.scorer import Scorer
    from kvasir_prune.importance.scoring_set import ScoringSet
    from kvasir_prune.models import Chain

_PINNED = {
    "split": "split of the images",
    "pixels": "decoder of the images, which gave other pixels",
    "weights": "trained network",
}
"""What `Run.pin` pins, in the words of its refusal."""


class Run:
    """One run under way; its folder is created and owned by the caller.

    Args:
        config: of the run.
        folder: of the run.
        progress: where it tells how far it is.
        command: how it was called, for the record.
        accept_device_change: go on on another device than the run's; from then on its losses are
            only the same within rounding.

    Raises:
        RunFolderError: the folder belongs to another configuration or to other versions.
    """

    def __init__(
        self,
        config: RunConfig,
        folder: RunFolder,
        progress: Progress,
        command: str,
        *,
        accept_device_change: bool = False,
    ) -> None:
        self.config = config
        self.folder = folder
        self.progress = progress
        self._accept_device_change = accept_device_change
        stored = folder.read_record()
        versions = backend.versions()
        if stored and not folder.has_begun(stored):
            # The images were refused before anything was computed; a corrected key is welcome.
            if (stored["identity"], stored["versions"]) != (identity(config), versions):
                folder.forget_images()
            stored = None
        if stored is None:
            self.record = self._first_record(command, versions)
        else:
            check(stored["identity"], identity(config), where=folder.path, kind="configuration")
            check(stored["versions"], versions, where=folder.path, kind="set of versions")
            self.record = stored
            if not stored["devices"] and not folder.training.exists():
                # Planned, perhaps elsewhere; the settings are those of where it is computed.
                self.record = {**stored, **self._settings()}
                folder.write_record(self.record)
        for name, values in environment.restore(self.record["environment"]).items():
            progress.note(f"{name} is set to the run's own value: {values[1]}, not {values[0]}")
        threads, asked = self.record["threads"], config.runtime.threads
        if asked not in (None, threads):
            progress.note(f"runtime.threads is the run's own: {threads}, not {asked}")
        resolved = sealed(with_threads(config, threads))
        if not folder.config.exists() or folder.config.read_bytes() != resolved.encode():
            publish_text(folder.config, resolved)

    def start_backend(self, *, computes_results: bool = True) -> None:
        """Seed the backend and pin its threads to the run's; before the first network.

        Args:
            computes_results: whether the run belongs to this device from now on.

        Raises:
            RunFolderError: the device is another than the run's.
            DeviceError: the run was made on a GPU, and none is found.
        """
        backend.configure(self.config.seed, int(self.record["threads"]))
        device, known = backend.device(), [entry["device"] for entry in self.record["devices"]]
        if not computes_results:
            return
        if known and not self._accept_device_change:
            check_device(device, known[-1], where=self.folder.path)
        self.note_start()
        if known[-1:] == [device]:
            return
        entry = {
            "device": device,
            "since": self.record["starts"][-1],
            "memory_bytes": environment.memory_bytes(),
        }
        self.record = {**self.record, "devices": [*self.record["devices"], entry]}
        self.folder.write_record_for_good(self.record)

    def note_start(self) -> None:
        """Record that the run works from now on; what lies before its last deed was a stop."""
        self.record = {**self.record, "starts": [*self.record["starts"], _now()]}
        self.folder.write_record(self.record)

    @property
    def tolerance(self) -> float:
        """Largest relative difference of a recorded loss and the same one computed now."""
        return OTHER_DEVICE if len(self.record["devices"]) > 1 else 0.0

    def _first_record(self, command: str, versions: dict[str, str]) -> dict[str, Any]:
        record: dict[str, Any] = {
            "command": command,
            "created": _now(),
            "identity": identity(self.config),
            "versions": versions,
            "digests": {"config": digest(self.config)},
            "files": {},
            "devices": [],
            "starts": [],
            **self._settings(),
        }
        self.folder.write_record(record)
        return record

    def _settings(self) -> dict[str, Any]:
        """Return what can change the last bits of a loss and is kept for the whole run."""
        threads = self.config.runtime.threads or backend.available_threads()
        return {"threads": threads, "environment": environment.found()}

    @property
    def digests(self) -> dict[str, str]:
        """Digests of configuration, split and weights, as far as they exist."""
        return dict(self.record["digests"])

    @property
    def origin(self) -> dict[str, str]:
        """What a file of this run is a function of: all digests, that of the versions too."""
        return origin(self.record)

    def pin(self, kind: str, value: str) -> None:
        """Record a digest the first time; refuse another value later.

        Args:
            kind: "split" or "weights".
            value: SHA-256, 64 hexadecimal digits.

        Raises:
            RunFolderError: the run was started with another one.
        """
        known = self.record["digests"]
        if kind not in known:
            self.record = {**self.record, "digests": {**known, kind: value}}
            self.folder.write_record(self.record)
        check(
            {kind: known.get(kind, value)},
            {kind: value},
            where=self.folder.path,
            kind=_PINNED[kind],
        )

    def seal(self, *paths: Path) -> None:
        """Record the digests of files that are finished."""
        self.record = run_record.sealed(self.record, *paths)
        self.folder.write_record(self.record)

    def forget(self, *paths: Path) -> None:
        """Delete files that are to be made again, and their digests."""
        self.record = self.folder.forget(self.record, *paths)

    def has(self, path: Path) -> bool:
        """Return whether a file is there and finished."""
        return run_record.is_finished(self.record, path)

    @cached_property
    def dataset(self) -> Dataset:
        """The images, labels and splits; prepared on first use."""
        dataset = prepare(
            self.config.data,
            side_px=self.config.model.input_side_px,
            seed=self.config.seed,
            run_folder=self.folder.path,
            progress=self.progress,
        )
        self.pin("split", dataset.digest)
        self.pin("pixels", dataset.pixels)
        if not (self.has(self.folder.data) and self.has(self.folder.split)):
            self.seal(self.folder.data, self.folder.split)
        return dataset

    def new_model(self) -> Any:
        """Build the configured network with its initial weights."""
        from kvasir_prune.models import build

        shape, classes = self.dataset.image_shape, len(self.dataset.classes)
        return build(self.config.model, shape, classes, seed=self.config.seed)

    @cached_property
    def chain(self) -> Chain:
        """The trained network, read from the folder.

        Raises:
            ModelError: the file is damaged.
            RunFolderError: its weights are not those that this run trained.
        """
        from kvasir_prune.models import digest_of, read_chain, weights_of
        from kvasir_prune.models.file import load_model

        chain = read_chain(load_model(self.folder.model))
        self.pin("weights", digest_of(weights_of(chain)))
        return chain

    @cached_property
    def scorer(self) -> Scorer:
        """The configured scorer on the configured split."""
        return self.scorer_on(self.config.importance.split)

    def release_scorer(self) -> None:
        """Let go of the scorer and of the activations it keeps."""
        self.__dict__.pop("scorer", None)

    def renew_scorer(self) -> None:
        """Let go of a scorer whose steps were halved: another process would not know of it."""
        known = self.__dict__.get("scorer")
        if known and any(known.halvings(hidden.name) for hidden in self.chain.hidden):
            self.release_scorer()

    def scorer_on(self, split: str) -> Scorer:
        """Return the configured scorer on any split."""
        from kvasir_prune.importance.scorers import scorer_of

        return scorer_of(self.config.importance, self.chain, self.scoring_set(split))

    def scoring_set(self, split: str) -> ScoringSet:
        """Return the images of a split with their labels."""
        from kvasir_prune.importance.scoring_set import ScoringSet

        dataset = self.dataset
        return ScoringSet(dataset.images, dataset.rows[split], dataset.labels_of(split))


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
