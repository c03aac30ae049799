"""What of the host a container sees, and where."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Mount:
    """A file or folder of the host inside a container.

    Ours lie at the same place inside as outside, so that every path in a run's configuration holds in both.

    Attributes:
        source: On the host, absolute.
        target: Inside, absolute.
        writable: Whether it may be written.
    """

    source: str
    target: str
    writable: bool = False
