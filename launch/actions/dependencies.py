"""What must succeed before the runs of a submission: other runs of the sweep, and other sweeps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from launch.errors import LaunchError, StoreError, did_you_mean
from launch.results.latest import runs_left
from launch.store.run_result import has_result
from launch.store.state import OVER

if TYPE_CHECKING:
    from launch.compose.run import Run
    from launch.store.store import Store
    from launch.store.sweep_state import SweepState


def find_predecessors(selected: Sequence[Run], planned: Sequence[Run]) -> list[Run]:
    """Return the runs that selected ones come directly after, and that are not selected themselves.

    Args:
        selected: The runs that are to be submitted.
        planned: All runs of the sweep.
    """
    own = {run.record.run_id for run in selected}
    required = {label for run in selected for label in run.spec.dependencies.requires}
    others = (run for run in planned if run.record.run_id not in own)
    return [run for run in others if not required.isdisjoint(run.spec.dependencies.provides)]


def check_predecessors(selected: Sequence[Run], predecessors: Sequence[Run], state: SweepState) -> None:
    """Refuse runs whose predecessors are neither selected nor have succeeded: they could never start.

    Args:
        selected: The runs that are to be submitted.
        predecessors: What `find_predecessors` returned.
        state: The sweep.

    Raises:
        LaunchError: Naming a run and what it comes after.
    """
    for run in predecessors:
        run_id = run.record.run_id
        if not has_result(str(Path(state.folder, run_id))):
            other, label = next(
                (other.record.run_id, label)
                for other in selected
                for label in other.spec.dependencies.requires
                if label in run.spec.dependencies.provides
            )
            raise LaunchError(
                f"{other} comes after {label}, and its run {run_id} has not succeeded and is left out",
                hint="choose both with --only, or run what comes first before",
            )


def check_sweeps_before(names: Sequence[str], store: Store, *, attended: bool) -> None:
    """Refuse a sweep that comes after others which have not succeeded, unless its scheduler lets it wait.

    Args:
        names: The sweeps that it comes after.
        store: The runs.
        attended: Whether no scheduler lets it wait.

    Raises:
        LaunchError: If one of them is missing, or has not succeeded.
    """
    for name in names:
        if name not in store.sweeps():
            message = f"`after: {name}`: no such sweep{did_you_mean(name, store.sweeps())}"
            raise StoreError(message, hint="submit it first, or mend `after:` in the sweep file")
        left = runs_left(store.sweep(name).state())
        if left and attended:
            ended = [view for view in left if view.state in OVER]
            words = ", ".join(f"{count} {state}" for state, count in Counter(view.state for view in left).items())
            raise LaunchError(
                f"the sweep {name}, which this one comes after, has not succeeded: "
                f"{words} ({(ended or left)[0].run_id})",
                hint=f"`launch retry {name}` starts them again"
                if ended
                else f"`launch wait {name}` returns when it has ended",
            )
