"""The result of a check: a fact about this machine or a cluster, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """The outcome of a check."""

    OK = "ok"
    WARN = "warn"  # a part does not work; most runs can still succeed
    FAIL = "fail"  # runs cannot succeed


@dataclass(frozen=True, kw_only=True)
class Check:
    """The result of one check of this machine or of a cluster.

    Attributes:
        name: The subject of the check.
        level: The outcome.
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
    """Return the result of a check that found no problem."""
    return Check(name=name, level=Level.OK, message=message, advice=advice)


def warn(name: str, message: str, advice: str | None) -> Check:
    """Return the result of a check that found a limitation."""
    return Check(name=name, level=Level.WARN, message=message, advice=advice)


def fail(name: str, message: str, advice: str | None = None, *, unreachable: bool = False) -> Check:
    """Return the result of a check that found a reason why runs cannot succeed."""
    return Check(name=name, level=Level.FAIL, message=message, advice=advice, unreachable=unreachable)
