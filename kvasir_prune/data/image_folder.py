"""Class folders of image files: the loader of every source that consists of files."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator
from pathlib import Path

from kvasir_prune.config.data import FolderData
from kvasir_prune.data.decode import BadImage, decode
from kvasir_prune.data.layout import ImageRecord, recognise
from kvasir_prune.data.manifest import with_groups
from kvasir_prune.data.source import SourceImage
from kvasir_prune.data.synthetic import MARKER
from kvasir_prune.data.tree import Tree, open_tree
from kvasir_prune.errors import DataError


class ImageFolder:
    """A folder, .zip or .tar.gz of class folders.

    Args:
        location: where it lies.
        manifest: name of a CSV file in the folder of the classes or above it, or path of one
            elsewhere.
        group_by: column of the manifest that names the group.

    Raises:
        DataError: no usable class folders, or a manifest that does not fit.
    """

    def __init__(self, location: Path, *, manifest: str | None, group_by: str | None) -> None:
        self._tree = open_tree(location)
        files, folders = self._tree.members()
        layout = recognise([member.path for member in files], folders, where=location)
        self._top = layout.top
        self.classes = layout.classes
        known = {*_inside(layout.top, manifest), f"{layout.top}{MARKER}"}
        self.left_out = tuple(name for name in layout.left_out if name not in known)
        self.records: tuple[ImageRecord, ...] = layout.records
        listing = "\n".join(sorted(f"{m.path} {m.size} {m.fingerprint}" for m in files))
        self.fingerprint = hashlib.sha256(listing.encode()).hexdigest()
        if manifest is not None and group_by is not None:
            content = _manifest_content(self._tree, layout.top, manifest, location)
            where = f"{location}: {manifest}"
            self.records = with_groups(layout.records, content, group_by, where=where)

    def images(self, paths: Collection[str]) -> Iterator[SourceImage]:
        """Yield the wanted images, decoded; those that cannot be carry their fault."""
        for name, content in self._tree.read([f"{self._top}{path}" for path in paths]):
            path, digest = name.removeprefix(self._top), hashlib.sha256(content).hexdigest()
            try:
                decoded = decode(content)
            except BadImage as reason:
                yield SourceImage(path, None, digest, fault=str(reason))
                continue
            yield SourceImage(path, decoded.pixels, digest, decoded.conversions)


def open_image_folder(config: FolderData, location: Path) -> ImageFolder:
    """Open the class folders at `location` with the manifest that the `data` section names."""
    return ImageFolder(location, manifest=config.manifest, group_by=config.group_by)


def _manifest_content(tree: Tree, top: str, manifest: str, location: Path) -> bytes:
    for name in _inside(top, manifest):
        if _holds(tree, name):
            return dict(tree.read([name]))[name]
    for candidate in (Path(manifest), location.parent / manifest):
        if candidate.is_file():
            return candidate.read_bytes()
    raise DataError(
        "The manifest does not exist.",
        where="data.manifest",
        got=manifest,
        expected=f"a CSV file {top}{manifest} inside {location}, or a path of one",
    )


def _inside(top: str, manifest: str | None) -> tuple[str, ...]:
    """Return where a manifest may stand in the tree: beside the classes, or at the root."""
    return () if manifest is None else (f"{top}{manifest}", manifest)


def _holds(tree: Tree, path: str) -> bool:
    return any(member.path == path for member in tree.members()[0])
