"""Which runs of a sweep `--only` picks."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from typing import TYPE_CHECKING

from launch.errors import LaunchError
from launch.grammar import format_value

if TYPE_CHECKING:
    from launch.compose.run import Run


def select(runs: Sequence[Run], only: str | None) -> list[Run]:
    """Return the runs that a glob picks by their id, their experiment, or a setting as `key=value`.

    Args:
        runs: The runs of the sweep.
        only: The glob; None for every run.

    Raises:
        LaunchError: If it picks none.
    """
    selected = [run for run in runs if only is None or any(fnmatch.fnmatchcase(name, only) for name in _names(run))]
    if not selected:
        raise LaunchError(
            f"--only {only!r} matches none of the {len(runs)} runs",
            hint=f"the first run would match {', '.join(_names(runs[0]))}" if runs else None,
        )
    return selected


def _names(run: Run) -> list[str]:
    """Return all names of a run; a setting has one for every ending of its key: `optim.lr=1` and `lr=1`."""
    record = run.record
    names = [record.run_id, record.experiment]
    for key, value in {**run.settings, "seed": record.seed}.items():
        parts, text = key.split("."), value if isinstance(value, str) else format_value(value)
        names += [f"{'.'.join(parts[start:])}={text}" for start in range(len(parts))]
    return names
