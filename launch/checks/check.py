"""One fact that `launch doctor` found out."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """The outcome of a check."""

    OK = "ok"
    WARN = "warn"  # something will not work, and much will
    FAIL = "fail"  # runs cannot succeed like this


@dataclass(frozen=True, kw_only=True)
class Check:
    """One fact about this machine, or about a cluster.

    Attributes:
        name: The subject of the check.
        level: Its outcome.
        message: What was found.
        advice: What to do; None if nothing has to be done.
        unreachable: Whether the cluster did not answer, so that the profile may still be right.
    """

    name: str
    level: Level
    message: str
    advice: str | None = None
    unreachable: bool = False


def ok(name: str, message: str, advice: str | None = None) -> Check:
    """Return a check that found nothing wrong."""
    return Check(name=name, level=Level.OK, message=message, advice=advice)


def warn(name: str, message: str, advice: str | None) -> Check:
    """Return a check that found a limitation."""
    return Check(name=name, level=Level.WARN, message=message, advice=advice)


def fail(name: str, message: str, advice: str | None = None, *, unreachable: bool = False) -> Check:
    """Return a check that found why runs cannot succeed."""
    return Check(name=name, level=Level.FAIL, message=message, advice=advice, unreachable=unreachable)
