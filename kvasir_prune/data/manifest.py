"""A CSV manifest beside the images: more facts about each file, a group above all."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from kvasir_prune.data.layout import ImageRecord
from kvasir_prune.errors import DataError

FILE_COLUMN = "file"


def with_groups(
    records: Sequence[ImageRecord], manifest: bytes, column: str, *, where: object
) -> tuple[ImageRecord, ...]:
    """Return the records with the groups that the manifest gives them.

    A row's `file` is the image's path below the set's top folder, or its bare file name where
    no two images share one.

    Args:
        records: the images.
        manifest: content of a CSV file with a header, UTF-8.
        column: which column is the group.
        where: named in errors.

    Raises:
        DataError: a column is missing, images have no row or no group, a file stands twice.
    """
    groups = _read(manifest, column, where)
    names = [record.path.rsplit("/", 1)[-1] for record in records]
    shared = {name for name, count in Counter(names).items() if count > 1}
    missing = []
    grouped = []
    for record, name in zip(records, names, strict=True):
        group = groups.get(record.path) or (None if name in shared else groups.get(name))
        if group is None:
            missing.append(record.path)
        grouped.append(replace(record, group=group))
    if missing:
        raise DataError(
            f"{len(missing)} images have no {column} in the manifest.",
            where=where,
            got=", ".join(missing[:5]) + (", ..." if len(missing) > 5 else ""),
            expected=f"a row with a {FILE_COLUMN} and a {column} for every image",
        )
    return tuple(grouped)


def _read(manifest: bytes, column: str, where: object) -> dict[str, str]:
    try:
        reader = csv.DictReader(io.StringIO(manifest.decode("utf-8-sig")))
        columns = list(reader.fieldnames or ())
        rows = list(reader)
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError("The manifest is no CSV text.", where=where, got=error) from None
    for needed, key in ((FILE_COLUMN, "data.manifest"), (column, "data.group_by")):
        if needed not in columns:
            raise DataError(
                f'The manifest has no column "{needed}".',
                where=f"{where} ({key})",
                got=", ".join(columns) or "an empty file",
                expected=needed,
            )
    groups: dict[str, str] = {}
    for row in rows:
        file, group = row[FILE_COLUMN], row[column]
        if groups.setdefault(file, group) != group:
            raise DataError(
                f'The manifest puts "{file}" into two groups.', where=where, got=f"{group}"
            )
    return {file: group for file, group in groups.items() if group}
