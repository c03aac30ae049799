"""Submit a plan: write its run directories, then list them in the manifest. Starts and prints nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, final

from launch.actions.differences import changed_since_failure
from launch.actions.generation import entry_of, freeze_or_reuse, header_of
from launch.actions.plugins import copy_plugins
from launch.backends.choose import check_queue
from launch.errors import raise_all
from launch.store.files import fault_point
from launch.store.records import Trigger
from launch.store.run_dirs import write_run_dirs
from launch.store.run_result import adopt_result
from launch.store.snapshot import OWN_CODE, take_snapshot
from launch.store.state import State

if TYPE_CHECKING:
    from launch.actions.plan import Plan
    from launch.profiles.profile import Profile
    from launch.store.records import ManifestEntry, ManifestHeader
    from launch.store.sweep_state import SweepState
    from launch.store.view import RunView


@final
@dataclass(frozen=True, kw_only=True)
class Submission:
    """Runs that are ready to be started."""

    sweep: str  # name of the sweep
    generation: int  # the manifest generation that lists them
    profile: Profile  # the profile that they execute with
    state: SweepState  # the stored state of the sweep
    views: tuple[RunView, ...]  # the views of the runs before anything is started; empty if there is nothing to do
    new: frozenset[str] = frozenset()  # the runs whose directories this submission made
    warnings: tuple[str, ...] = ()  # what the user should know, one line each

    @property
    def left_alone(self) -> tuple[RunView, ...]:
        """Failed and cancelled runs, which only `launch retry` starts again."""
        return tuple(view for view in self.views if view.state in (State.FAILED, State.CANCELLED))


def submit(plan: Plan, *, source: Path | None = None) -> Submission:
    """Write the files of a plan. If the process is killed meanwhile, submitting again completes the work.

    Args:
        plan: The plan.
        source: The folder with the code for the runs; None for the folder of this launcher's code.

    Returns:
        The submission, which the caller must start.

    Raises:
        LaunchError: If the plan has obstacles, or another process runs the sweep.
    """
    raise_all(plan.obstacles)
    check_queue(plan.state.folder, plan.profile)
    containers = plan.containers.prepare()
    copy_plugins(plan.sweep, Path(plan.state.folder).parent)
    write_run_dirs(plan.state.folder, plan.run_dirs)
    fault_point("submit.planned")
    snapshot = take_snapshot(source or OWN_CODE, Path(plan.state.folder).parent)
    header = containers.on(header_of(plan.sweep, plan.profile, snapshot, complete=plan.complete))
    # Predecessors that are not selected are listed too, so that the runs after them can find their folders.
    entries = [*plan.entries, *map(entry_of, plan.predecessors)]
    state, generation = freeze_or_reuse(plan.state.refreshed(fed=()), header, entries)
    fault_point("submit.frozen")
    state, generation, views = _restart_changed(plan, state, header, entries, generation)
    return Submission(
        sweep=plan.sweep.name,
        generation=generation,
        profile=plan.profile,
        state=state,
        views=views,
        new=plan.new,
        warnings=(*plan.warnings, *snapshot.notices),
    )


def _restart_changed(
    plan: Plan, state: SweepState, header: ManifestHeader, entries: Sequence[ManifestEntry], generation: int
) -> tuple[SweepState, int, tuple[RunView, ...]]:
    """Let failed runs start again if their config has changed; return the state, the generation and the views."""
    run_ids = [run.record.run_id for run in plan.runs]
    views = state.views(run_ids)
    # Runs that finished after their supervisor had died: publish their results.
    adopted = {view.run_id for view in views if view.state is State.LOST and adopt_result(view.run_dir)}
    views = [state.read_view(view.run_id) if view.run_id in adopted else view for view in views]
    restarts = {view.run_id for view in changed_since_failure(views, plan.runs)}
    if not restarts:
        return state, generation, tuple(views)
    retried = [entry for entry in entries if entry.run_id in restarts]
    state, _ = state.freeze(replace(header, why=Trigger.RETRY), retried)
    state, generation = state.freeze(header, entries)  # so that the newest generation lists every run
    return state, generation, tuple(state.views(run_ids))
