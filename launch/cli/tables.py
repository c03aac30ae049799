"""The text tables of `launch status`: one of all sweeps, one of the runs of a sweep."""

from __future__ import annotations

from typing import TYPE_CHECKING

from launch.cli import console, formatting
from launch.cli.progress import ProgressTracker
from launch.results.format import MISSING
from launch.store.manifest import BLOCK
from launch.store.state import State

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from launch.store.view import RunView


def runs_table(views: Sequence[RunView], now: float) -> str:
    """Return a table of a sweep's runs: state, attempts, progress, time, and the reason of a failure."""
    seconds = [formatting.elapsed(view, now) for view in views]
    columns = {
        "run": [view.run_id for view in views],
        "block": [str(view.settings.get(BLOCK, "")) for view in views],
        "state": [str(view.state) for view in views],
        "attempts": [str(view.attempts) for view in views],
        "progress": [progress(view) for view in views],
        "time": [MISSING if taken is None else formatting.duration(taken) for taken in seconds],
        "reason": [formatting.last_log_line(view) for view in views],
    }
    shown = {name: cells for name, cells in columns.items() if any(cells)}
    if "block" in shown:
        shown["block"] = [cell or MISSING for cell in shown["block"]]
    rows = list(zip(*shown.values(), strict=True))
    elastic = "reason" if "reason" in shown else "run"
    return console.table(list(shown), rows, right=["attempts", "progress", "time"], elastic=elastic)


def progress(view: RunView) -> str:
    """Return the percentage of steps that a run has done, or a dash if it is unknown."""
    if view.state == State.SUCCEEDED:
        return "100 %"
    share = ProgressTracker().of(view)
    return MISSING if share is None else f"{100 * share:.0f} %"


def sweeps_table(sweeps: Mapping[str, Sequence[RunView]]) -> str:
    """Return a table with one row per sweep and the number of runs in each state; empty columns are left out."""
    counts = {name: formatting.count_states(views) for name, views in sweeps.items()}
    states = [state for state in formatting.STATE_ORDER if any(state in each for each in counts.values())]
    header = ["sweep", "runs", *(state.lower() for state in states)]
    rows = [
        [name, str(len(views)), *(str(counts[name].get(state, 0)) for state in states)]
        for name, views in sweeps.items()
    ]
    return console.table(header, rows, right=header[1:], elastic="sweep")
