"""A tree of files, wherever it lies: a folder, a .zip or a .tar.gz, read in storage order."""

from __future__ import annotations

import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from kvasir_prune.errors import DataError

TAR_SUFFIXES = (".tar.gz", ".tgz", ".tar")
# What the two archive modules raise on damaged bytes; RuntimeError: encrypted or of unknown method.
DAMAGE = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    OSError,
    EOFError,
    RuntimeError,
    UnicodeDecodeError,
)


@dataclass(frozen=True)
class Member:
    """One file: its path in the tree (POSIX, relative), its size in bytes, a cheap fingerprint."""

    path: str
    size: int
    fingerprint: str


class Tree(Protocol):
    """What the loader needs to know of a tree of files."""

    def members(self) -> tuple[tuple[Member, ...], tuple[str, ...]]:
        """Return all files and all folders (also the empty ones) of the tree."""

    def read(self, paths: Collection[str]) -> Iterator[tuple[str, bytes]]:
        """Yield path and content of the wanted files, in the order that is fastest to read."""


def open_tree(location: Path) -> Tree:
    """Open a folder, a .zip or a .tar.gz.

    Raises:
        DataError: it does not exist, is of another kind, or is damaged.
    """
    if location.is_dir():
        return _Folder(location)
    if not location.exists():
        raise DataError(
            "There is no such file or folder of images.",
            where="data.root",
            got=location,
            expected="a folder of class folders, or a .zip or .tar.gz of one",
            fix="correct data.root; a relative path is looked up in the current folder and then "
            "in the folder that the environment variable KVASIR_PRUNE_DATA names",
        )
    name = location.name.lower()
    if name.endswith(".zip"):
        return _Zip(location)
    if name.endswith(TAR_SUFFIXES):
        return _Tar(location)
    raise DataError(
        "This file is no archive of images.",
        where="data.root",
        got=location,
        expected="a folder, a .zip or a .tar.gz",
    )


@dataclass(frozen=True)
class _Folder:
    location: Path

    def members(self) -> tuple[tuple[Member, ...], tuple[str, ...]]:
        files, folders = [], []
        for path in self.location.rglob("*"):
            name = path.relative_to(self.location).as_posix()
            if path.is_dir():
                folders.append(name)
            elif path.is_file() or path.is_symlink():
                facts = path.stat() if path.exists() else path.lstat()
                files.append(Member(name, facts.st_size, str(facts.st_mtime_ns)))
        return tuple(files), tuple(folders)

    def read(self, paths: Collection[str]) -> Iterator[tuple[str, bytes]]:
        for path in paths:
            try:
                yield path, (self.location / path).read_bytes()
            except OSError as error:
                raise self._unreadable(path, error) from None

    def _unreadable(self, path: str, error: OSError) -> DataError:
        if not self.location.is_dir():
            return DataError(
                "The folder of the images has vanished.",
                where=self.location,
                got=error.strerror,
                fix="bring it back (is its disk still mounted?), then give the same command again",
            )
        return DataError(
            "A file cannot be read.",
            where=self.location / path,
            got=error.strerror,
            fix="mend its permissions or its link, or take it out of the folder",
        )


@dataclass(frozen=True)
class _Zip:
    location: Path

    def members(self) -> tuple[tuple[Member, ...], tuple[str, ...]]:
        with self._opened() as archive:
            infos = archive.infolist()
        files = [Member(i.filename, i.file_size, str(i.CRC)) for i in infos if not i.is_dir()]
        return _latest(files), _folders([i.filename for i in infos])

    def read(self, paths: Collection[str]) -> Iterator[tuple[str, bytes]]:
        wanted = set(paths)
        with self._opened() as archive:
            for info in archive.infolist():
                if info.filename in wanted:
                    yield info.filename, self._content(archive, info)

    def _content(self, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
        try:
            return archive.read(info)
        except DAMAGE as error:
            raise _damaged(self.location, f"{info.filename}: {error}") from None

    def _opened(self) -> zipfile.ZipFile:
        try:
            return zipfile.ZipFile(self.location)
        except DAMAGE as error:
            raise _damaged(self.location, error) from None


@dataclass(frozen=True)
class _Tar:
    location: Path

    def members(self) -> tuple[tuple[Member, ...], tuple[str, ...]]:
        files, names = [], []
        for info, _ in self._walk():
            names.append(info.name + ("/" if info.isdir() else ""))
            if info.isfile():
                files.append(Member(_plain(info.name), info.size, str(info.mtime)))
        return _latest(files), _folders([_plain(name) for name in names])

    def read(self, paths: Collection[str]) -> Iterator[tuple[str, bytes]]:
        wanted = set(paths)
        for info, archive in self._walk():
            if info.isfile() and _plain(info.name) in wanted:
                yield _plain(info.name), self._content(archive, info)

    def _content(self, archive: tarfile.TarFile, info: tarfile.TarInfo) -> bytes:
        try:
            stream = archive.extractfile(info)
            return stream.read() if stream else b""
        except DAMAGE as error:
            raise _damaged(self.location, f"{info.name}: {error}") from None

    def _walk(self) -> Iterator[tuple[tarfile.TarInfo, tarfile.TarFile]]:
        try:
            with tarfile.open(self.location) as archive:
                for info in archive:
                    yield info, archive
                _check_end(archive)
        except DAMAGE as error:
            raise _damaged(self.location, error) from None


def _check_end(archive: tarfile.TarFile) -> None:
    """Refuse an archive without its end mark, or with a wrong checksum at the very end.

    `tarfile` takes a header that is cut or garbled for the end of the archive, and leaves a
    compressed stream before its checksum is compared.
    """
    stream = archive.fileobj
    stream.seek(archive.offset)
    if stream.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
        raise tarfile.ReadError("it stops before the mark of its end")
    while stream.read(1 << 20):
        pass


def _latest(files: list[Member]) -> tuple[Member, ...]:
    """Keep the last of several entries of one name, as unpacking would; `read` yields it last."""
    return tuple({member.path: member for member in files}.values())


def _plain(name: str) -> str:
    return name.removeprefix("./")


def _folders(names: list[str]) -> tuple[str, ...]:
    """Return every folder that is named or implied by the names of an archive's entries."""
    folders: set[str] = set()
    for name in names:
        parts = name.rstrip("/").split("/")
        depth = len(parts) if name.endswith("/") else len(parts) - 1
        folders.update("/".join(parts[:count]) for count in range(1, depth + 1))
    return tuple(sorted(folders - {"", "."}))


def _damaged(location: Path, error: object) -> DataError:
    return DataError(
        "The archive cannot be read to its end.",
        where=location,
        got=error,
        expected="a whole archive",
        fix="download or copy it again",
    )
