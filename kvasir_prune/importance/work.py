"""What a scorer has done, counted from shapes and not from a clock."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Work:
    """Counts that only grow.

    Attributes:
        multiply_adds: of prefix passes, of readers, and of suffixes for the images evaluated;
            what padding costs is not counted.
        evaluations: candidates scored, abandoned and superfluous ones included.
        abandoned: of these, how many were abandoned.
        images: pairs of candidate and image that were run through a suffix.
    """

    multiply_adds: int = 0
    evaluations: int = 0
    abandoned: int = 0
    images: int = 0
