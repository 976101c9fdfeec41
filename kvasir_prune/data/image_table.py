"""What is known of every image of a cache, as a CSV file."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

from kvasir_prune.data.layout import ImageRecord

COLUMNS = (
    *("row", "path", "sha256", "class", "given", "group", "conversions", "fault"),
    *("height", "width"),
)


@dataclass(frozen=True)
class CachedImage:
    """One line of the table.

    Attributes:
        row: its place in the array of pixels, None for a skipped file.
        record: what was known before it was decoded.
        sha256: of the file.
        conversions: what had to be converted to get RGB.
        fault: why it was skipped.
        size: height and width in pixels before it was resized; None where no one wrote it down.
    """

    row: int | None
    record: ImageRecord
    sha256: str
    conversions: tuple[str, ...]
    fault: str | None
    size: tuple[int, int] | None


def to_csv(table: Sequence[CachedImage]) -> str:
    """Return the table as text, one line an image."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for line in table:
        record = line.record
        row = "" if line.row is None else line.row
        known = (record.label, record.given or "", record.group or "")
        told = ("; ".join(line.conversions), line.fault or "", *(line.size or ("", "")))
        writer.writerow((row, record.path, line.sha256, *known, *told))
    return text.getvalue()


def from_csv(text: str) -> tuple[CachedImage, ...]:
    """Return the table that `to_csv` wrote, or an older one without sizes."""
    return tuple(_line(row) for row in csv.DictReader(io.StringIO(text, newline="")))


def _line(row: dict[str, str]) -> CachedImage:
    record = ImageRecord(row["path"], row["class"], row["given"] or None, row["group"] or None)
    return CachedImage(
        int(row["row"]) if row["row"] else None,
        record,
        row["sha256"],
        tuple(row["conversions"].split("; ")) if row["conversions"] else (),
        row["fault"] or None,
        (int(row["height"]), int(row["width"])) if row.get("height") else None,
    )
