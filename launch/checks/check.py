"""One fact that `launch doctor` found out."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How a check came out."""

    OK = "ok"
    WARN = "warn"  # something will not work, and much will
    FAIL = "fail"  # runs cannot succeed like this


@dataclass(frozen=True, kw_only=True)
class Check:
    """One fact about this machine, or about a cluster.

    Attributes:
        name: What was looked at.
        level: How it came out.
        message: What was found.
        advice: What to do; None if nothing is to be done.
        unreachable: Whether nobody answered: the profile may be right for all that is known.
    """

    name: str
    level: Level
    message: str
    advice: str | None = None
    unreachable: bool = False
