"""Classes that mean the same to a clinician, taken together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kvasir_prune.config.report import OTHER, ReportConfig
from kvasir_prune.errors import ConfigError, Fault


@dataclass(frozen=True)
class ClassGroups:
    """A division of the classes into groups.

    Attributes:
        names: of the groups; `OTHER` last, if a class is named in none.
        group_of: for each class, the place of its group in `names`.
        abnormal: the names of the groups that are disease.
    """

    names: tuple[str, ...]
    group_of: tuple[int, ...]
    abnormal: tuple[str, ...]

    @classmethod
    def of(
        cls,
        classes: Sequence[str],
        members: Mapping[str, Sequence[str]],
        abnormal: Sequence[str] = (),
    ) -> ClassGroups:
        """Divide the classes.

        Args:
            classes: names of all classes, in the order of their numbers.
            members: group -> classes; no class in two groups.
            abnormal: the groups that are disease.
        """
        group = {name: key for key, names in members.items() for name in names}
        found = [group.get(name, OTHER) for name in classes]
        names = tuple(key for key in (*members, OTHER) if key in found)
        return cls(names, tuple(map(names.index, found)), tuple(abnormal))

    def is_abnormal(self, label: int) -> bool:
        """Return whether a class, by its number, is disease."""
        return self.names[self.group_of[label]] in self.abnormal


def named_groups(classes: Sequence[str], config: ReportConfig, where: object) -> ClassGroups | None:
    """Return the groups that the configuration names; None if it names none.

    Raises:
        ConfigError: a group names a class that is not there.
    """
    if not config.class_groups:
        return None
    faults = [
        Fault(
            f"report.class_groups.{group}",
            f'there is no class "{name}"; the classes are {", ".join(classes)}',
        )
        for group, names in config.class_groups.items()
        for name in names
        if name not in classes
    ]
    if faults:
        raise ConfigError(where, faults)
    return ClassGroups.of(classes, config.class_groups, config.abnormal)
