"""Check what must succeed before the runs of a submission: other runs of the sweep, and other sweeps."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from launch.errors import LaunchError, StoreError, did_you_mean
from launch.results.latest import runs_left
from launch.store.run_result import has_result
from launch.store.state import TERMINAL

if TYPE_CHECKING:
    from launch.compose.run import Run
    from launch.store.store import Store
    from launch.store.sweep_state import SweepState


def find_predecessors(selected: Sequence[Run], planned: Sequence[Run]) -> list[Run]:
    """Return the direct predecessors of the selected runs that are not selected themselves."""
    own = {run.record.run_id for run in selected}
    required = {label for run in selected for label in run.spec.dependencies.requires}
    others = (run for run in planned if run.record.run_id not in own)
    return [run for run in others if not required.isdisjoint(run.spec.dependencies.provides)]


def check_predecessors(selected: Sequence[Run], predecessors: Sequence[Run], state: SweepState) -> None:
    """Raise if a predecessor from `find_predecessors` has not succeeded: the run after it could never start.

    Raises:
        LaunchError: The message names the run and its predecessor.
    """
    left_out = (run for run in predecessors if not has_result(os.path.join(state.folder, run.record.run_id)))
    for run in left_out:
        for other in selected:
            for label in set(other.spec.dependencies.requires).intersection(run.spec.dependencies.provides):
                raise LaunchError(
                    f"{other.record.run_id} comes after {label}, but {run.record.run_id}, a run of {label}, has not "
                    "succeeded and is not selected",
                    hint=f"select both with --only, or run {label} first",
                )


def check_sweeps_before(names: Sequence[str], store: Store, *, attended: bool) -> None:
    """Raise if the sweeps before a sweep have not succeeded, unless a scheduler can let the sweep wait for them.

    Args:
        names: The sweeps that must succeed first.
        store: The store of all sweeps.
        attended: Whether the runs execute on this machine, without a scheduler.

    Raises:
        LaunchError: If one of the sweeps does not exist, or has not succeeded.
    """
    for name in names:
        if name not in store.sweeps():
            message = f"`after: {name}`: no such sweep{did_you_mean(name, store.sweeps())}"
            raise StoreError(message, hint="submit it first, or correct `after:` in the sweep file")
        left = runs_left(store.sweep(name).state())
        if left and attended:
            ended = [view for view in left if view.state in TERMINAL]
            words = ", ".join(f"{count} {state}" for state, count in Counter(view.state for view in left).items())
            raise LaunchError(
                f"the sweep {name}, which this one comes after, has not succeeded: "
                f"{words} ({(ended or left)[0].run_id})",
                hint=f"`launch retry {name}` starts them again"
                if ended
                else f"`launch wait {name}` returns when it has ended",
            )
