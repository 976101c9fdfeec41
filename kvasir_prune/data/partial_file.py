"""The bytes of an unfinished download, and the knowledge of what they are a part of.

They live beside the target: `<name>.part` holds the bytes, `<name>.part.json` the version of the
remote file that they belong to, `<name>.part.lock` exists while a process appends to them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import Timeout
from pydantic import BaseModel, ConfigDict, ValidationError

from kvasir_prune.errors import DataError
from kvasir_prune.locking import locked
from kvasir_prune.publish import publish_text, put_in_place


class RemoteVersion(BaseModel):
    """Which version of which remote file.

    Attributes:
        url: address of the file.
        etag: its `ETag` header, quotes included; None if the server sends none.
        last_modified: its `Last-Modified` header; None if the server sends none.
        total_bytes: size of the whole file; None if the server does not say.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str
    etag: str | None
    last_modified: str | None
    total_bytes: int | None

    @property
    def validator(self) -> str | None:
        """What `If-Range` may carry; None if this version cannot be told from another one."""
        # RFC 9110, 13.1.5: a weak ETag is of no use here, it may stand for different bytes.
        if self.etag is not None and not self.etag.startswith("W/"):
            return self.etag
        return self.last_modified

    def contradicts(self, answer: RemoteVersion) -> bool:
        """Tell whether a later answer, which need not repeat everything, is of another version."""
        if None not in (self.total_bytes, answer.total_bytes) and (
            self.total_bytes != answer.total_bytes
        ):
            return True
        named = ((self.etag, answer.etag), (self.last_modified, answer.last_modified))
        for known, answered in named:
            if known is not None and answered is not None:
                return known != answered
        return any(answered is not None for _, answered in named)


@dataclass(frozen=True)
class PartialFile:
    """What has arrived of `target` so far; its folder must exist."""

    target: Path

    @property
    def path(self) -> Path:
        """The file that holds the bytes; absent before the first one."""
        return self._beside(".part")

    @property
    def received_bytes(self) -> int:
        """How many bytes are here."""
        return self.path.stat().st_size if self.path.exists() else 0

    def version(self, url: str) -> RemoteVersion | None:
        """Return the version of `url` that the bytes belong to; None if they cannot be used."""
        if self.received_bytes == 0:
            return None
        try:
            version = RemoteVersion.model_validate_json(self._beside(".part.json").read_bytes())
        except (FileNotFoundError, ValidationError):
            return None
        return version if version.url == url else None

    def begin(self, version: RemoteVersion) -> None:
        """Throw away what is here and note that the bytes to come belong to `version`."""
        self.discard()
        publish_text(self._beside(".part.json"), version.model_dump_json())

    def discard(self) -> None:
        """Throw away what is here."""
        # The bytes go first: a sidecar without bytes is harmless, bytes beside a foreign one not.
        self.path.unlink(missing_ok=True)
        self._beside(".part.json").unlink(missing_ok=True)

    def publish(self) -> None:
        """Give the bytes, now complete, the name of the target."""
        # Synced under its own name: a power cut until then finds the bytes where they resume.
        with self.path.open("rb+") as stream:
            os.fsync(stream.fileno())
        put_in_place(self.path, self.target)
        self._beside(".part.json").unlink(missing_ok=True)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep other processes from appending, for the time of a `with` block.

        Raises:
            DataError: another process is appending.
        """
        lock = self._beside(".part.lock")
        try:
            with locked(lock, timeout_s=0):
                try:
                    yield
                finally:
                    with suppress(OSError):
                        lock.unlink(missing_ok=True)
        except Timeout as error:
            raise DataError(
                f"Another process is downloading {self.target.name}.",
                where=self.target.parent,
                fix="wait until it has finished, then run again",
            ) from error

    def _beside(self, suffix: str) -> Path:
        return self.target.with_name(self.target.name + suffix)
