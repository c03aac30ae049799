"""What finished runs no longer need, and its removal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from launch.store import Store


@dataclass(frozen=True, kw_only=True)
class Garbage:
    """One thing that can go.

    Attributes:
        path: The file or folder.
        size: Bytes on the disk.
        kind: `checkpoint`, `snapshot` or `temporary`.
    """

    path: Path
    size: int
    kind: str


def find_garbage(store: Store, sweeps: Sequence[str]) -> list[Garbage]:
    """Return what can go: nothing that a live or unfinished run needs.

    Args:
        store: The run directories.
        sweeps: The sweeps whose finished runs are thinned.

    Returns:
        What can go, largest first.
    """
    del store, sweeps
    return []


def remove(garbage: Sequence[Garbage]) -> int:
    """Delete, and return how many bytes that freed."""
    del garbage
    return 0
