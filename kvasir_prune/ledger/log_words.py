"""The words of a text log, and what they may mean; nothing is guessed."""

from __future__ import annotations

import math
import re
from pathlib import Path

from kvasir_prune.errors import LedgerError
from kvasir_prune.types import LayerSize

_NODE = re.compile(r"[0-9]{1,9}")
_NUMBER = re.compile(r"[0-9]+(\.[0-9]*)?([eE][-+]?[0-9]{1,3})?|nan|inf")
_MOST = {"loss": 1e6, "accuracy": 1.0}
_MEND = "mend or take away the file: what the others hold is imported"


def words_of(path: Path) -> list[list[str]] | None:
    """Return the words of every line that was ended or has any; None if there is no file.

    Raises:
        LedgerError: it is no file, or cannot be read.
    """
    if not path.exists():
        return None
    try:
        content = path.read_bytes()
    except OSError as error:
        raise LedgerError(
            "A log cannot be read.", where=path, got=error.strerror, expected="a text file"
        ) from None
    # A computer that lost its power leaves zeros behind the text.
    text = content.rstrip(b"\0").decode("utf-8-sig", errors="replace")
    lines = text.split("\n")
    return [line.split() for line in (lines[:-1] if not lines[-1].strip() else lines)]


def node_of(word: str, layer: LayerSize, where: str) -> int:
    """Return the index that a word of a line names.

    Raises:
        LedgerError: it is none of the layer's.
    """
    if not _NODE.fullmatch(word) or int(word) >= layer.nodes:
        raise LedgerError(
            "A log names a node that its layer does not have.",
            where=where,
            got=repr(word[:40]),
            expected=f"nodes of {layer.name}, 0 to {layer.nodes - 1}",
            fix=f"name the right network with --layers, or {_MEND}",
        )
    return int(word)


def value_of(word: str, quantity: str, where: str) -> float:
    """Return the `loss` or `accuracy` that a word is; one that diverged is NaN or infinite.

    Raises:
        LedgerError: it can be none.
    """
    value = float(word) if _NUMBER.fullmatch(word) else -1.0
    most = _MOST[quantity]
    if value < 0 or most < value < math.inf or (quantity == "accuracy" and value > 1):
        raise LedgerError(
            f"A log holds something else than values of the {quantity}.",
            where=where,
            got=repr(word[:40]),
            expected=f"numbers from 0 to {most:g}, parted by blanks",
            fix=_MEND,
        )
    return value
