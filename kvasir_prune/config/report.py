"""The `report` section: what the comparison is judged by. None of it changes a result."""

from __future__ import annotations

from collections import Counter
from typing import Annotated

from pydantic import Field, model_validator

from kvasir_prune.config.base import Section

OTHER = "other"
"""The group of the classes that are named in none."""

ClassNames = Annotated[list[str], Field(min_length=1)]


class ReportConfig(Section):
    """What the report asks of the pruned network. Set it before you look at the test images."""

    non_inferiority_margin: Annotated[float, Field(ge=0.001, lt=1.0)] | None = None
    """The fall of test accuracy that would still be acceptable, 0.02 for two percentage points; it
    is a clinical choice, so there is no default, and null gives no verdict."""
    class_groups: dict[str, ClassNames] = Field(default={})
    """Groups of classes, such as `pathological: [polyps, esophagitis]`, that are also compared as
    if each were one class; classes named in none are a group of their own, `other`."""
    abnormal: list[str] = Field(default=[])
    """The groups that are disease: an image of one that is no longer called so is a missed
    disease, and is counted and shown apart."""

    @model_validator(mode="after")
    def _each_class_is_in_one_group(self) -> ReportConfig:
        counts = Counter(name for names in self.class_groups.values() for name in names)
        twice = sorted(name for name, count in counts.items() if count > 1)
        if twice:
            raise ValueError(f"class_groups: a class belongs to one group, not to two: {twice}")
        if OTHER in self.class_groups:
            raise ValueError(f"class_groups: {OTHER} is what the rest is called; name it otherwise")
        unknown = sorted(set(self.abnormal) - set(self.class_groups))
        if unknown:
            raise ValueError(
                f"abnormal: names groups of class_groups ({', '.join(self.class_groups) or 'none'})"
                f", got {unknown}"
            )
        return self
