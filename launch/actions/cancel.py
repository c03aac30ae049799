"""Cancel sweeps and runs: waiting runs never start, running runs are asked to stop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from launch.actions.orphans import StuckContainer, end_orphans
from launch.actions.targets import find_target
from launch.backends.choose import find_backend, scheduling_profile
from launch.errors import BackendError
from launch.store.cancel_mark import write_cancelled
from launch.store.files import fault_point
from launch.store.state import TERMINAL, State

if TYPE_CHECKING:
    from launch.store.store import Store
    from launch.store.sweep_state import SweepState
    from launch.store.view import RunView


class Cancellation(NamedTuple):
    """The outcome of a request to cancel."""

    views: list[RunView]  # the runs that were cancelled
    unreached: dict[str, str]  # `SWEEP/RUN` of those among them whose job cannot be reached from here: where it is
    stuck: list[StuckContainer]  # runs whose container may still be running, also runs that were cancelled before


def cancel(store: Store, targets: Sequence[str]) -> Cancellation:
    """Cancel sweeps or runs: waiting runs never start, running runs are asked to stop.

    Args:
        store: The store of the runs.
        targets: Sweeps and runs: names, files, run ids, beginnings of run ids, or `SWEEP/RUN`.

    Raises:
        LaunchError: If a target names neither a sweep nor a run.
    """
    states: dict[str, SweepState] = {}
    chosen: list[RunView] = []
    for target in targets:
        sweep, _, run_id = find_target(store, target).partition("/")
        state = states.setdefault(sweep, store.sweep(sweep).state())
        chosen += state.views([run_id] if run_id else None)
    views = [view for view in chosen if view.state not in TERMINAL]
    for view in views:
        write_cancelled(view.run_dir, view.generation)
    fault_point("cancel.marked")
    cancelled: list[RunView] = []
    unreached: dict[str, str] = {}
    for sweep in dict.fromkeys(view.sweep for view in views):
        # Read again after the mark was written: an attempt that began before is seen here, a later one sees the mark.
        state = states[sweep].refreshed()
        own = state.views(dict.fromkeys(view.run_id for view in views if view.sweep == sweep))
        # Ask every backend that ever scheduled the sweep: a sweep may have moved to another backend.
        headers = {header.backend: header for header in state.manifest.headers.values()}
        for header in headers.values() or [state.manifest.newest_header()]:
            places = find_backend(scheduling_profile(header)).stop(state, own)
            unreached |= {f"{sweep}/{run_id}": place for run_id, place in places.items()}
        cancelled += own
    before = [view for view in chosen if view.state is State.CANCELLED]
    return Cancellation(views=cancelled, unreached=unreached, stuck=end_orphans([*cancelled, *before]))


def refuse_unreached(unreached: Mapping[str, str]) -> None:
    """Raise if jobs of cancelled runs could not be reached.

    Raises:
        BackendError: With the places of these jobs, and what happens to their runs.
    """
    if unreached:
        runs = f"{len(unreached):,} run{'s' if len(unreached) > 1 else ''}"
        places = "; ".join(dict.fromkeys(unreached.values()))
        raise BackendError(
            f"{runs} could not be reached: {places}",
            hint="they are marked as cancelled: what waits there ends when it begins, and what runs there goes on "
            "until it is cancelled there",
        )
