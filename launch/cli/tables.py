"""The tables a person reads: the sweeps, the runs of a sweep, a plan."""

from __future__ import annotations

from typing import TYPE_CHECKING

from launch.cli import console, quantities
from launch.cli.console import MISSING
from launch.records import State

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from launch.disk.store import SweepStore
    from launch.records import RunView
    from launch.results import Row


def runs_table(views: Sequence[RunView], now: float) -> str:
    """Return the runs of a sweep: where each stands, how far it is, how long it took, and why it ended.

    Args:
        views: The runs.
        now: Seconds since the epoch.
    """
    with_words = any(quantities.last_words(view) for view in views)
    header = ["run", "state", "attempts", "progress", "time", *(["reason"] if with_words else [])]
    rows: list[list[str]] = []
    for view in views:
        seconds = quantities.elapsed(view, now)
        row = [
            view.run_id,
            str(view.state),
            str(view.attempts),
            progress(view),
            MISSING if seconds is None else quantities.duration(seconds),
        ]
        rows.append([*row, quantities.last_words(view)] if with_words else row)
    return console.table(
        header, rows, right=["attempts", "progress", "time"], elastic="reason" if with_words else "run"
    )


def progress(view: RunView) -> str:
    """Return how far a run is, in percent of its steps; a dash where that is not known."""
    if view.state == State.SUCCEEDED:
        return "100 %"
    if view.step is None or not view.steps:
        return MISSING
    return f"{100 * view.step / view.steps:.0f} %"


def sweeps_table(sweeps: Mapping[str, Sequence[RunView]]) -> str:
    """Return one line per sweep with how many of its runs are in which state; states that no run is in are left out."""
    counts = {name: quantities.count_states(views) for name, views in sweeps.items()}
    states = [state for state in quantities.STATE_ORDER if any(state in each for each in counts.values())]
    header = ["sweep", "runs", *(state.lower() for state in states)]
    rows = [
        [name, str(len(views)), *(str(counts[name].get(state, 0)) for state in states)]
        for name, views in sweeps.items()
    ]
    return console.table(header, rows, right=header[1:], elastic="sweep")


def gather(sweep: SweepStore, metric: str | None = None) -> list[Row]:
    """Return the rows of a sweep's results.

    Args:
        sweep: The sweep.
        metric: The metric to show; None for the sweep's own.

    Raises:
        LaunchError: Where `metric` is given and no result has it.
    """
    from launch import current, results

    views = sweep.views()
    for problem in sweep.problems:
        console.warn(problem)
    manifest = sweep.manifest()
    views = current.newest(views, manifest)
    header = manifest.newest_header()
    metrics = results.read_metrics(views)
    if metric is not None:
        results.check_metric(metric, metrics)
    return results.rows(views, metrics, metric or header.metric, header.published)
