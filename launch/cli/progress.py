"""The progress of runs: the fraction of its steps that each run has done."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from launch.store.state import State

if TYPE_CHECKING:
    from collections.abc import Sequence

    from launch.store.view import RunView

ENDED_WITHOUT_RESULT = frozenset({State.FAILED, State.CANCELLED})


class ProgressTracker:
    """Stores the last known progress of every run, so that an interruption does not reset it."""

    def __init__(self) -> None:
        self._known: dict[str, float | None] = {}
        self._read: set[str] = set()

    def of(self, view: RunView) -> float | None:
        """Return the fraction of its steps that a run has done; None if it is unknown."""
        if view.state == State.SUCCEEDED:
            return 1.0
        name = view.run_dir or view.run_id
        if view.step is not None and view.steps:
            self._known[name] = min(1.0, view.step / view.steps)
        if name not in self._known and name not in self._read and view.attempts:
            self._read.add(name)
            self._known[name] = fraction_on_disk(view)
        return self._known.get(name)

    def done(self, views: Sequence[RunView]) -> float:
        """Return the mean over the runs of the fraction of its steps that a run has done; 1 without runs."""
        return sum(self.of(view) or 0.0 for view in views) / len(views) if views else 1.0

    def ended(self, views: Sequence[RunView]) -> float:
        """Return the mean as `done` does, but count each failed or cancelled run as 1: it does no further steps."""
        if not views:
            return 1.0
        return sum(1.0 if view.state in ENDED_WITHOUT_RESULT else self.of(view) or 0.0 for view in views) / len(views)


def fraction_on_disk(view: RunView) -> float | None:
    """Return the fraction of steps in the newest record of a run's attempts; None without a record."""
    from s5.run_dir.result import TIMING, attempt_dirs, last_line

    for folder in reversed(attempt_dirs(Path(view.run_dir))):
        try:
            line = last_line(folder / TIMING) or {}
            return min(1.0, line["step"] / line["of"])
        except (OSError, KeyError, TypeError, ZeroDivisionError):
            continue
    return None
