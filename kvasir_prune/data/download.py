"""Fetching one large file over HTTP so that an interruption costs nothing already received.

Every try asks only for the bytes that are not here yet (RFC 9110, sections 13.1.5 and 14). With
`If-Range` the server sends a file that changed meanwhile from its first byte; bytes of two versions
are never glued together.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import requests

from kvasir_prune.data.partial_file import PartialFile, RemoteVersion
from kvasir_prune.errors import DataError, StorageError
from kvasir_prune.progress import Progress

PAUSES_S: tuple[float, ...] = (1.0, 2.0, 5.0)
"""Waits before the tries that follow a fruitless one; new bytes set the count back to zero."""

CHUNK_BYTES: Final = 65_536
_PASSING_TROUBLE: Final = frozenset({429, 500, 502, 503, 504})
_CONTENT_RANGE: Final = re.compile(r"bytes (?:(?P<first>\d+)-\d+|\*)/(?P<total>\d+|\*)")


@dataclass(frozen=True)
class _Job:
    url: str
    file: PartialFile
    expected_bytes: int | None
    progress: Progress
    timeout_s: float

    @property
    def name(self) -> str:
        return self.file.target.name


class _Lost(Exception):  # noqa: N818  (not an error yet: the next try may succeed)
    """A try ended without the whole file; the text says why."""


def fetch(
    url: str,
    target: Path,
    *,
    expected_bytes: int | None,
    progress: Progress,
    timeout_s: float = 30.0,
) -> Path:
    """Download `url` to `target`, continuing where an earlier call stopped.

    The target appears only when it is complete. A lost connection is tried again, until several
    tries in a row bring nothing new.

    Args:
        url: an http or https address.
        target: where the file shall be; its folder must exist. An existing file is left untouched
            and nothing is requested.
        expected_bytes: the right size; None accepts the size that the server announces.
        progress: shown a bar in bytes, and a note for every new try.
        timeout_s: seconds without an answer after which the connection counts as lost.

    Returns:
        `target`.

    Raises:
        DataError: the server cannot be reached, refuses, or sends another size; the folder is not
            writable; another process downloads the same file.
        StorageError: the disk is full.
    """
    if target.exists():
        return target
    job = _Job(url, PartialFile(target), expected_bytes, progress, timeout_s)
    try:
        with job.file.alone():
            if not target.exists():
                _persist(job)
                job.file.publish()
    except OSError as error:
        raise _unwritable(job, error, expected_bytes) from error
    return target


def _persist(job: _Job) -> None:
    """Try until the partial file is complete."""
    furthest, fruitless = job.file.received_bytes, 0
    while True:
        try:
            return _try_once(job)
        except _Lost as lost:
            reason = lost
        received = job.file.received_bytes
        if received > furthest:
            furthest, fruitless = received, 0
        if fruitless == len(PAUSES_S):
            raise _unobtainable(job, str(reason)) from reason
        pause_s = PAUSES_S[fruitless]
        fruitless += 1
        job.progress.note(
            f"Downloading {job.name}: {reason}; {received:,} bytes are here, "
            f"trying again in {pause_s:g} s."
        )
        time.sleep(pause_s)


def _try_once(job: _Job) -> None:
    version = job.file.version(job.url)
    start = 0 if version is None else job.file.received_bytes
    # A compressed transfer would count other bytes than the file has.
    headers = {"Accept-Encoding": "identity"}
    if version is not None and version.validator is not None:
        headers |= {"Range": f"bytes={start}-", "If-Range": version.validator}
    try:
        with requests.get(job.url, headers=headers, stream=True, timeout=job.timeout_s) as response:
            _take(job, response, start, version)
    except requests.Timeout as error:
        raise _Lost(f"no answer within {job.timeout_s:g} s") from error
    except requests.exceptions.ChunkedEncodingError as error:
        raise _Lost("the connection was dropped") from error
    except requests.ConnectionError as error:
        raise _Lost("no connection to the server") from error
    except requests.RequestException as error:
        raise _unobtainable(job, str(error)) from error


def _take(
    job: _Job, response: requests.Response, start: int, version: RemoteVersion | None
) -> None:
    """Do what the answer asks for; return only when the partial file is complete."""
    offered, first = _offered(response, job.url)
    same_file = version is not None and not version.contradicts(offered)
    totals = {known.total_bytes for known in (version, offered) if known is not None}
    status = response.status_code
    if status == requests.codes.ok:
        _receive(job, response, 0, offered)
    elif status == requests.codes.partial and same_file and first == start:
        _receive(job, response, start, offered)
    elif status == requests.codes.range_not_satisfiable and same_file and start in totals:
        # All bytes had arrived before an earlier call was stopped.
        _check_whole(job, start)
    elif status in {requests.codes.partial, requests.codes.range_not_satisfiable}:
        job.file.discard()
        raise _Lost("the partial file does not match the remote one and is dropped")
    elif status in _PASSING_TROUBLE:
        raise _Lost(f"the server answered {status} {response.reason}")
    else:
        raise _unobtainable(job, f"the server answered {status} {response.reason}")


def _offered(response: requests.Response, url: str) -> tuple[RemoteVersion, int | None]:
    """Read which version the answer belongs to, and the position of its first byte."""
    headers = response.headers
    found = _CONTENT_RANGE.fullmatch(headers.get("Content-Range", ""))
    total, first = (found["total"], found["first"]) if found else (None, None)
    if response.status_code == requests.codes.ok and "Content-Encoding" not in headers:
        total = headers.get("Content-Length")
    version = RemoteVersion(
        url=url,
        etag=headers.get("ETag"),
        last_modified=headers.get("Last-Modified"),
        total_bytes=int(total) if total is not None and total.isdecimal() else None,
    )
    return version, None if first is None else int(first)


def _receive(job: _Job, response: requests.Response, start: int, offered: RemoteVersion) -> None:
    total = job.expected_bytes if offered.total_bytes is None else offered.total_bytes
    if total is not None and job.expected_bytes not in {None, total}:
        raise _wrong_size(job, total)
    try:
        if start == 0:
            if job.file.received_bytes > 0:
                job.progress.note(f"Downloading {job.name} from its first byte again.")
            job.file.begin(offered)
        if total is not None and shutil.disk_usage(job.file.target.parent).free < total - start:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        with (
            job.progress.task(f"Downloading {job.name}, bytes", total) as task,
            job.file.path.open("ab") as stream,
        ):
            task.advance(start)
            for chunk in response.iter_content(CHUNK_BYTES):
                stream.write(chunk)
                task.advance(len(chunk))
    except requests.RequestException:  # an OSError as well, but the network's
        raise
    except OSError as error:
        raise _unwritable(job, error, total) from error
    _check_whole(job, total)


def _check_whole(job: _Job, total: int | None) -> None:
    received = job.file.received_bytes
    if total is not None and received < total:
        raise _Lost("the server ended its answer early")
    if job.expected_bytes is not None and received != job.expected_bytes:
        job.file.discard()
        raise _wrong_size(job, received)
    if total is not None and received > total:
        job.file.discard()
        raise _Lost("more bytes arrived than were announced")


def _by_hand(job: _Job) -> str:
    return f"download {job.url} by hand and save it as {job.file.target}"


def _unobtainable(job: _Job, reason: str) -> DataError:
    kept = job.file.received_bytes
    again = f"run again (the {kept:,} bytes already here are kept)" if kept else "run again"
    return DataError(
        f"{job.name} could not be downloaded.",
        where=job.url,
        got=reason,
        fix=f"check the connection and {again}; or {_by_hand(job)}",
    )


def _wrong_size(job: _Job, found: int) -> DataError:
    return DataError(
        f"The remote {job.name} has another size than expected.",
        where=job.url,
        got=f"{found:,} bytes",
        expected=f"{job.expected_bytes:,} bytes",
        fix=f"check the address; or {_by_hand(job)}",
    )


def _unwritable(job: _Job, error: OSError, total: int | None) -> DataError | StorageError:
    folder = job.file.target.parent
    if error.errno not in {errno.ENOSPC, errno.EDQUOT}:
        return DataError(
            f"{job.name} could not be saved.",
            where=error.filename or folder,
            got=error.strerror or str(error),
            fix="make the folder writable, or choose another one",
        )
    kept = job.file.received_bytes
    needed = "more bytes" if total is None else f"{total - kept:,} more bytes"
    return StorageError(
        f"The disk is full: {job.name} needs {needed}.",
        where=folder,
        got=f"{shutil.disk_usage(folder).free:,} bytes free",
        fix=f"make room and run again, the {kept:,} bytes already here are kept",
    )
