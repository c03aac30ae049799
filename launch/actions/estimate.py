"""The cost of the runs that are left, estimated from finished runs of the same configuration."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from launch.compose.run_id import identity_digits
from launch.store.attempts import spent_s
from launch.store.state import TERMINAL, State
from launch.store.store import Store
from launch.store.view import RunView

if TYPE_CHECKING:
    from launch.actions.plan import Plan
    from launch.compose.run import Run

# Finished runs by seed, then by experiment and the digits of the identity at the end of the run id.
_Finished = dict[int, dict[tuple[str, str], RunView]]


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """The cost of the runs that are left."""

    runs: int  # how many runs are left
    known: int  # how many of them can be estimated, because a run with the same configuration has finished
    core_hours: float | None  # CPU core hours of the `known` runs; None if there are none
    gpu_hours: float | None  # GPU hours of the `known` runs; None if there are none


def estimate_plan(plan: Plan, store: Store) -> Estimate:
    """Estimate the cost of the runs of a plan that are left."""
    left = [view for view in plan.views if view.state not in TERMINAL]
    return estimate_runs(left, plan.runs, store, plan.sweep.name)


def estimate_runs(left: Sequence[RunView], runs: Sequence[Run], store: Store, sweep: str) -> Estimate:
    """Estimate the cost of runs from finished runs of the same configuration with any seed, in any sweep.

    Args:
        left: The runs that are left.
        runs: The composed runs, including those that are left.
        store: The store with the finished runs.
        sweep: Name of a sweep. Other sweeps are used only if this one has no finished runs of the configuration.
    """
    composed = {run.record.run_id: run for run in runs}
    experiments = {view.experiment for view in left}

    @cache
    def finished(own: bool) -> _Finished:
        return _find_finished(store, [name for name in store.sweeps() if (name == sweep) is own], experiments)

    hours_of: dict[tuple[object, ...], float | None] = {}
    core_hours = gpu_hours = 0.0
    known = 0
    for view in left:
        run = composed[view.run_id]
        kind = (run.record.experiment, run.record.overrides, run.record.command)
        if kind not in hours_of:
            found = _hours_of(run, finished(True)) or _hours_of(run, finished(False))
            hours_of[kind] = sum(found) / len(found) if found else None
        hours = hours_of[kind]
        if hours is not None:
            known += 1
            core_hours += hours * view.resources.tasks * view.resources.cpus_per_task
            gpu_hours += hours * view.resources.nodes * view.resources.gpus_per_node
    return Estimate(
        runs=len(left),
        known=known,
        core_hours=core_hours if known else None,
        gpu_hours=gpu_hours if known else None,
    )


def _find_finished(store: Store, sweeps: Sequence[str], experiments: Collection[str]) -> _Finished:
    """Return the runs of some experiments that have succeeded."""
    found: _Finished = {}
    for name in sweeps:
        for view in store.sweep(name).views():
            if view.state is State.SUCCEEDED and view.experiment in experiments:
                digits = view.run_id.rpartition("-")[2]
                found.setdefault(view.seed, {})[view.experiment, digits] = view
    return found


def _hours_of(run: Run, finished: _Finished) -> list[float]:
    """Return the hours of each finished run that differs from this one only in its seed."""
    found: list[float] = []
    for seed, views in finished.items():
        from launch.compose.composer import config_hash, identity_of  # loads Hydra, which composing has loaded already

        identity = identity_of(config_hash({**run.config, "seed": seed}, run.spec), run.spec)
        view = views.get((run.record.experiment, identity_digits(identity)))
        if view is not None:
            found.append(spent_s(view.run_dir) / 3600)
    return found
