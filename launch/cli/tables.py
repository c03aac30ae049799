"""The tables a person reads: the sweeps, the runs of a sweep, a plan."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from launch.cli import console, formatting
from launch.cli.progress import ProgressTracker
from launch.errors import StoreError
from launch.results.table import MISSING
from launch.store.manifest import BLOCK
from launch.store.state import State

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from launch.results.table import ResultRow
    from launch.store.store import SweepStore
    from launch.store.view import RunView


def runs_table(views: Sequence[RunView], now: float) -> str:
    """Return the runs of a sweep: where each stands, how far it is, how long it took, and why it ended.

    Args:
        views: The runs.
        now: Seconds since the epoch.
    """
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
    """Return how far a run is, in percent of its steps; a dash where that is not known."""
    if view.state == State.SUCCEEDED:
        return "100 %"
    share = ProgressTracker().of(view)
    return MISSING if share is None else f"{100 * share:.0f} %"


def sweeps_table(sweeps: Mapping[str, Sequence[RunView]]) -> str:
    """Return one line per sweep with how many of its runs are in which state; states that no run is in are left out."""
    counts = {name: formatting.count_states(views) for name, views in sweeps.items()}
    states = [state for state in formatting.STATE_ORDER if any(state in each for each in counts.values())]
    header = ["sweep", "runs", *(state.lower() for state in states)]
    rows = [
        [name, str(len(views)), *(str(counts[name].get(state, 0)) for state in states)]
        for name, views in sweeps.items()
    ]
    return console.table(header, rows, right=header[1:], elastic="sweep")


class Gathered(NamedTuple):
    """A sweep's results.

    Attributes:
        rows: The rows.
        damaged: Runs whose result cannot be read; they are left out of the means.
        measured: Whether any run left any metric: a `command:` need not.
    """

    rows: list[ResultRow]
    damaged: list[str]
    measured: bool


def gather(sweep: SweepStore, metric: str | None = None) -> Gathered:
    """Return the rows of a sweep's results, and tell on stderr what could not be read.

    Args:
        sweep: The sweep.
        metric: The metric to show; None for the sweep's own.

    Raises:
        LaunchError: Where `metric` is given and no result has it.
    """
    from launch.cli.targets import warn_of_damage
    from launch.results import latest, table

    views = sweep.views()
    warn_of_damage([sweep])
    manifest = sweep.manifest()
    views = latest.drop_superseded(views, manifest)
    header = manifest.newest_header()
    metrics, damaged = _read_each(views)
    if metric is not None:
        table.check_metric(metric, metrics)
    shown = metric or table.metric_to_show(header.metric, metrics)
    if metric is None and shown != header.metric:
        console.note(f"{sweep.name}: no run has {header.metric}; {shown} is shown, --metric chooses another")
    return Gathered(table.rows(views, metrics, shown, header.published), damaged, any(metrics.values()))


def _read_each(views: Sequence[RunView]) -> tuple[dict[str, dict[str, float]], list[str]]:
    """Return the metrics of the runs that have some, and the runs whose result is damaged, which are told of."""
    from launch.results.table import read_metrics

    metrics: dict[str, dict[str, float]] = {}
    damaged: list[str] = []
    for view in views:
        try:
            metrics |= read_metrics([view])
        except (StoreError, ValueError, TypeError) as error:
            damaged.append(view.run_id)
            what = (
                error.message if isinstance(error, StoreError) else f"the result of {view.run_id} is damaged: {error}"
            )
            console.warn(console.printable(what))
    if damaged:
        console.hint("move the folder of a damaged run away and type the sweep's command again: that run runs anew")
    return metrics, damaged
