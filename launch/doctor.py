"""What this machine has, what it lacks, and what to do about it: one line per fact."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class Level(StrEnum):
    """How a check came out."""

    OK = "ok"
    WARN = "warn"  # something will not work, and much will
    FAIL = "fail"  # runs cannot succeed like this


@dataclass(frozen=True, kw_only=True)
class Check:
    """One fact about this machine.

    Attributes:
        name: What was looked at.
        level: How it came out.
        message: What was found.
        advice: What to do; None where nothing is to be done.
    """

    name: str
    level: Level
    message: str
    advice: str | None = None


def examine(runs: Path | None = None) -> list[Check]:
    """Look at everything a run needs.

    Args:
        runs: Where runs lie; None for the default place.

    Returns:
        The checks, in the order of a reader's interest.
    """
    del runs
    return []
