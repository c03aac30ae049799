"""The code of an attempt: a copy, named by its content, that later edits do not reach."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """A copy of the code.

    Attributes:
        hash: Identity of its paths, modes and bytes.
        path: Its folder, to be put first on the path of a run.
        files: How many files it holds.
        bytes: Their size.
        notices: What was left out and why, one line each.
    """

    hash: str
    path: Path
    files: int
    bytes: int
    notices: tuple[str, ...] = ()


def take_snapshot(source: Path, runs: Path) -> Snapshot:
    """Copy the code under `source` to `runs/.snapshots/<hash>`, unless it is there.

    Args:
        source: The folder that holds the packages; a git working tree or not.
        runs: The folder of all run directories.

    Returns:
        The snapshot.

    Raises:
        LaunchError: Where the code is too large or cannot be copied.
    """
    raise NotImplementedError
