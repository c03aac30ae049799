"""The progress of runs: the fraction of its steps that each run has done."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from launch.store.attempts import attempt_path
from launch.store.state import State
from s5.run_dir.result import METRICS, TIMING, attempt_dirs, last_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from launch.store.view import RunView

# The metrics that are shown first, of those in the newest line of `metrics.jsonl`.
_FIRST = ("train/loss", "loss", "val/loss")
ENDED_WITHOUT_RESULT = frozenset({State.FAILED, State.CANCELLED})


class ProgressTracker:
    """Stores the last known progress of every run, so that an interruption does not reset it."""

    def __init__(self) -> None:
        self._known: dict[str, float | None] = {}
        self._read: set[str] = set()
        self._newest: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {}

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

    def forget_newest(self) -> None:
        """Read the newest timing and metrics of a run again when they are next asked for."""
        self._newest.clear()

    def is_compiling(self, view: RunView) -> bool:
        """Return whether the attempt of a running run has begun and not done its first steps yet."""
        timing, _ = self._lines(view)
        return bool(timing) and "steps_per_s" not in timing

    def metric_of(self, view: RunView) -> tuple[str, float] | None:
        """Return the name and the value of the newest metric of a run's last attempt; None without one."""
        _, metrics = self._lines(view)
        numbers = {name: value for name, value in metrics.items() if name != "step" and isinstance(value, int | float)}
        chosen = next((name for name in _FIRST if name in numbers), next(iter(numbers), None))
        return None if chosen is None else (chosen, numbers[chosen])

    def _lines(self, view: RunView) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the last line of timing and of metrics of a run's last attempt; each is read once a second."""
        if view.run_dir not in self._newest:
            folder = Path(attempt_path(view.run_dir, view.attempts - 1))
            lines = [_last_line(folder / name) for name in (TIMING, METRICS)]
            self._newest[view.run_dir] = lines[0], lines[1]
        return self._newest[view.run_dir]

    def done(self, views: Sequence[RunView]) -> float:
        """Return the mean over the runs of the fraction of its steps that a run has done; 1 without runs."""
        return sum(self.of(view) or 0.0 for view in views) / len(views) if views else 1.0

    def ended(self, views: Sequence[RunView]) -> float:
        """Return the mean as `done` does, but count each failed or cancelled run as 1: it does no further steps."""
        if not views:
            return 1.0
        return sum(1.0 if view.state in ENDED_WITHOUT_RESULT else self.of(view) or 0.0 for view in views) / len(views)


def _last_line(file: Path) -> dict[str, Any]:
    try:
        return last_line(file) or {}
    except OSError:
        return {}


def fraction_on_disk(view: RunView) -> float | None:
    """Return the fraction of its steps that a run has done, by the newest line of `timing.jsonl`; None without one."""
    for folder in reversed(attempt_dirs(Path(view.run_dir))):
        try:
            line = last_line(folder / TIMING) or {}
            return min(1.0, line["step"] / line["of"])
        except (OSError, KeyError, TypeError, ArithmeticError):
            continue
    return None
