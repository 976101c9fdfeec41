"""What can go wrong, as one family of exceptions that carry their facts.

Every error says what happened, where, what was found, what was expected and how to mend it; the
same facts are attributes, so that a caller need not parse the sentence. `exit_code` is what the
command line returns: 1 a bug, 2 the user's input, 74 the disk, 75 the device (`EX_IOERR` and
`EX_TEMPFAIL` of sysexits.h; the same command goes on), 128 + signal when interrupted.
"""

from __future__ import annotations

from dataclasses import dataclass


class KvasirPruneError(Exception):
    """Root of all errors raised on purpose by this package.

    Attributes:
        what: one sentence, what happened.
        where: file, YAML path, layer or node it happened at.
        got: what was found there.
        expected: what would have been right.
        fix: what the user can do now.
    """

    exit_code = 2

    def __init__(
        self,
        what: str,
        *,
        where: object = None,
        got: object = None,
        expected: object = None,
        fix: str | None = None,
    ) -> None:
        self.what = what
        self.where = where
        self.got = got
        self.expected = expected
        self.fix = fix
        super().__init__(self._sentence())

    def _sentence(self) -> str:
        facts = (
            ("where", self.where),
            ("found", self.got),
            ("expected", self.expected),
            ("to mend it", self.fix),
        )
        lines = [self.what, *(f"  {name}: {fact}" for name, fact in facts if fact is not None)]
        return "\n".join(lines)


@dataclass(frozen=True)
class Fault:
    """One thing wrong with a configuration.

    Attributes:
        path: YAML path, keys joined by dots, list positions as `[0]`.
        problem: what is wrong there, in plain words.
        got: the offending value, shortened; None where there is none.
        allowed: what may stand there.
        suggestion: the nearest known key, for a typo.
    """

    path: str
    problem: str
    got: str | None = None
    allowed: str | None = None
    suggestion: str | None = None

    def __str__(self) -> str:
        """Render the fault as one line."""
        text = f"{self.path}: {self.problem}"
        if self.got is not None:
            text += f", got {self.got}"
        if self.allowed is not None:
            text += f"; allowed: {self.allowed}"
        if self.suggestion is not None:
            text += f'; did you mean "{self.suggestion}"?'
        return text


class ConfigError(KvasirPruneError):
    """The configuration is wrong; `faults` holds every fault at once."""

    def __init__(self, source: object, faults: list[Fault]) -> None:
        self.faults = tuple(faults)
        count = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
        listing = "\n".join(f"  - {fault}" for fault in faults)
        super().__init__(
            f"The configuration has {count}:\n{listing}",
            where=source,
            fix="correct the lines above; `kvasir-prune config --schema` lists every key",
        )


class BackendError(KvasirPruneError):
    """The backend that Keras is to run on is unknown or not installed."""


class DeviceMemoryError(KvasirPruneError):
    """The memory of the device, or of the machine, does not hold what is to be computed."""

    exit_code = 75


class DataError(KvasirPruneError):
    """The images, their folder, archive or manifest cannot be used."""


class ModelError(KvasirPruneError):
    """The network cannot be built, read as a chain, or cut."""


class NumericalError(KvasirPruneError):
    """A loss is NaN or infinite."""


class LedgerError(KvasirPruneError):
    """A durable record is damaged, or written by another version."""


class RunFolderError(KvasirPruneError):
    """The run folder cannot be used: in use, not writable, or it belongs to another run."""


class LaboratoryError(KvasirPruneError):
    """A sweep cannot go on: what places its trials does not answer, or one stops them all."""


class StorageError(KvasirPruneError):
    """The file system does not take a file: it is full, read-only, or gone."""

    exit_code = 74


class DeviceError(KvasirPruneError):
    """The device or its driver failed; the same command goes on, in a new process."""

    exit_code = 75


class Interrupted(KvasirPruneError):  # noqa: N818  (a request, not a failure)
    """The user or the machine asked the run to stop; everything committed is safe.

    Attributes:
        signal_number: the signal received; `exit_code` is 128 plus it.
    """

    def __init__(self, signal_number: int) -> None:
        self.signal_number = signal_number
        self.exit_code = 128 + signal_number
        super().__init__(f"Stopped by signal {signal_number}; everything committed is safe.")
