"""The tables a person reads: the sweeps, the runs of a sweep, a plan."""

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
    """Return the runs of a sweep as a table: state, attempts, progress, time, and why each ended."""
    with_words = any(formatting.last_log_line(view) for view in views)
    with_blocks = any(BLOCK in view.settings for view in views)
    header = [
        "run",
        *(["block"] if with_blocks else []),
        "state",
        "attempts",
        "progress",
        "time",
        *(["reason"] if with_words else []),
    ]
    rows: list[list[str]] = []
    for view in views:
        seconds = formatting.elapsed(view, now)
        row = [
            view.run_id,
            *([str(view.settings.get(BLOCK, MISSING))] if with_blocks else []),
            str(view.state),
            str(view.attempts),
            progress(view),
            MISSING if seconds is None else formatting.duration(seconds),
        ]
        rows.append([*row, formatting.last_log_line(view)] if with_words else row)
    return console.table(
        header, rows, right=["attempts", "progress", "time"], elastic="reason" if with_words else "run"
    )


def progress(view: RunView) -> str:
    """Return the progress of a run in percent of its steps, or a dash if it is unknown."""
    if view.state == State.SUCCEEDED:
        return "100 %"
    share = ProgressTracker().of(view)
    return MISSING if share is None else f"{100 * share:.0f} %"


def sweeps_table(sweeps: Mapping[str, Sequence[RunView]]) -> str:
    """Return one line per sweep with the number of its runs in each state; states without a run are left out."""
    counts = {name: formatting.count_states(views) for name, views in sweeps.items()}
    states = [state for state in formatting.STATE_ORDER if any(state in each for each in counts.values())]
    header = ["sweep", "runs", *(state.lower() for state in states)]
    rows = [
        [name, str(len(views)), *(str(counts[name].get(state, 0)) for state in states)]
        for name, views in sweeps.items()
    ]
    return console.table(header, rows, right=header[1:], elastic="sweep")
