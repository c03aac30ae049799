"""What the runs that are left will cost, judged by what runs of their experiment have cost."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from launch.disk.attempts import attempt_numbers, attempt_path, read_plain
from launch.disk.store import Store
from launch.records import RunView, State


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What the runs that are left will cost.

    Attributes:
        runs: Runs that are left.
        known: Of these, those whose experiment has finished before.
        core_hours: CPU core hours of the known ones; None where none is known.
        gpu_hours: GPU hours of the known ones; None where none is known.
    """

    runs: int
    known: int
    core_hours: float | None
    gpu_hours: float | None


def estimate_runs(left: Sequence[RunView], store: Store, sweep: str) -> Estimate:
    """Judge runs by finished ones: of the same settings, else of the same experiment, in any sweep.

    Args:
        left: The runs that are left.
        store: Where earlier runs lie.
        sweep: Name of the sweep that is looked at first.

    Returns:
        The estimate.
    """
    means = _mean_hours(store.sweep(sweep).views()) if sweep in store.sweeps() else {}
    if any((view.experiment, "") not in means for view in left):
        others = [view for name in store.sweeps() if name != sweep for view in store.sweep(name).views()]
        means = _mean_hours(others) | means
    core_hours = gpu_hours = 0.0
    known = 0
    for view in left:
        hours = means.get(_kind(view)) or means.get((view.experiment, ""))
        if hours is not None:
            known += 1
            resources = view.resources
            tasks = resources.nodes * resources.tasks_per_node
            core_hours += hours * tasks * resources.cpus_per_task
            gpu_hours += hours * resources.nodes * resources.gpus_per_node
    return Estimate(
        runs=len(left),
        known=known,
        core_hours=core_hours if known else None,
        gpu_hours=gpu_hours if known else None,
    )


def _kind(view: RunView) -> tuple[str, str]:
    return view.experiment, json.dumps(view.settings, sort_keys=True)


def _mean_hours(views: Iterable[RunView]) -> dict[tuple[str, str], float]:
    """Return the mean wall clock of finished runs, by experiment and settings, and by experiment alone."""
    hours: dict[tuple[str, str], list[float]] = {}
    for view in views:
        if view.state is State.SUCCEEDED:
            spent = _hours(view)
            for kind in (_kind(view), (view.experiment, "")):
                hours.setdefault(kind, []).append(spent)
    return {kind: sum(values) / len(values) for kind, values in hours.items()}


def _hours(view: RunView) -> float:
    """Return what a run took over all its attempts."""
    spent_s = 0.0
    for attempt in attempt_numbers(view.run_dir):
        record = read_plain(attempt_path(view.run_dir, attempt))
        if record.get("ended"):
            spent_s += max(0.0, record["ended"] - record["started"])  # a clock may go back
    return spent_s / 3600
