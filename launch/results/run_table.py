"""The table with one row per run: its settings, how it was executed, and every metric."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from launch.results.configuration import key_of
from launch.results.export import flat_value
from launch.store.attempts import attempt_numbers, attempt_path, find_attempt, spent_s
from s5.run_dir.result import ResultError, read_result

if TYPE_CHECKING:
    from launch.results.groups import RunGroup
    from launch.results.table import Metrics
    from launch.store.view import RunView

# What a training writes into its result besides the metrics; the batch size only if it was found by the run.
_FACTS = ("parameters", "batch_size", "steps", "best_step")


def run_records(
    groups: Sequence[RunGroup], metrics: Metrics, commits: Mapping[tuple[str, int], str | None]
) -> list[dict[str, Any]]:
    """Return one flat record per run, all with the same fields; a missing value is None.

    Args:
        groups: The runs of each row, from `group_runs`.
        metrics: Every metric of each run, from `read_metrics`.
        commits: The commit of the code of each generation, by sweep and generation.
    """
    settings = dict.fromkeys(key for group in groups for key in group.shown)
    names = sorted({name for group in groups for view in group.views for name in metrics.get(key_of(view), {})})
    return [
        {
            "sweep": view.sweep,
            "run": view.run_id,
            "experiment": view.experiment,
            **{key: flat_value(group.shown.get(key)) for key in settings},
            "seed": view.seed,
            "state": str(view.state),
            "current": group.current,
            **{name: metrics.get(key_of(view), {}).get(name) for name in names},
            **_execution(view, commits),
        }
        for group in groups
        for view in group.views
    ]


def _execution(view: RunView, commits: Mapping[tuple[str, int], str | None]) -> Mapping[str, Any]:
    """Return how a run was executed: the seconds of all attempts; machine and commit of the last one."""
    numbers = attempt_numbers(view.run_dir)
    last = find_attempt(attempt_path(view.run_dir, numbers[-1])) if numbers else None
    facts = _facts(view)
    return {
        **{name: facts.get(name) for name in _FACTS},
        "attempts": len(numbers),
        "time_s": round(spent_s(view.run_dir), 1) if numbers else None,
        "host": last.machine if last else None,
        "commit": commits.get((view.sweep, last.generation)) if last else None,
        "snapshot": last.snapshot if last else None,
        "reused_from": last.reused_from if last else None,
    }


def _facts(view: RunView) -> Mapping[str, Any]:
    try:
        return read_result(Path(view.run_dir)) or {}
    except (ResultError, OSError, ValueError):
        return {}
