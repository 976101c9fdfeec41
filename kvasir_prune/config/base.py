"""What every section of the configuration has in common."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

COSMETIC: JsonDict = {"cosmetic": True}
"""Marks a key that cannot change a result; a resumed run may have another value of it."""
LATER: JsonDict = {"later": True}
"""Marks a key that came when runs had been begun without it: at its default it is no part of what a
run is identified by, so that they go on."""

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
PositiveInt = Annotated[int, Field(ge=1)]
LayerNames = Annotated[list[str], Field(min_length=1)]


class Section(BaseModel):
    """A section: immutable, strictly typed, no unknown keys, no infinities."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        validate_default=True,
        use_attribute_docstrings=True,
    )
