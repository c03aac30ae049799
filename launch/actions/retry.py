"""Let failed, cancelled and lost runs start again. Starts nothing itself and prints nothing."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from launch.actions.container_plan import ContainerOptions, plan_containers_for_retry
from launch.actions.dropped_settings import describe_dropped_settings
from launch.actions.orphans import end_orphans, refuse_stuck
from launch.actions.program_files import check_program_files
from launch.actions.submit import Submission
from launch.backends.choose import check_queue, find_backend, scheduling_profile, submission_profile
from launch.errors import plural
from launch.store.cancel_mark import is_cancelled
from launch.store.files import check_writable
from launch.store.records import Trigger
from launch.store.snapshot import OWN_CODE, take_snapshot
from launch.store.state import TERMINAL, State
from s5.run_dir.result import ATTEMPTS

if TYPE_CHECKING:
    from launch.profiles.profile import Profile
    from launch.store.records import ManifestEntry
    from launch.store.store import Store
    from launch.store.sweep_state import SweepState
    from launch.store.view import RunView


_ENDED = (State.FAILED, State.CANCELLED, State.LOST)
_STOPPED = (State.PREEMPTED, State.PLANNED)  # the sweep's command continues these if the newest submission lists them


def retry(
    store: Store,
    sweep: str,
    profile: Profile | None = None,
    *,
    failed_only: bool,
    earlier: bool = False,
    options: ContainerOptions | None = None,
    source: Path | None = None,
) -> Submission:
    """Add a generation that lists failed, cancelled and lost runs of the newest submission, so that they start again.

    It also lists the runs that wait for them and were submitted with them: these can start afterwards.

    Args:
        store: The store of the runs.
        sweep: Name of the sweep.
        profile: The profile to execute with; None for the profile that they were submitted with.
        failed_only: Whether to retry failed runs only, not cancelled and lost runs.
        earlier: Whether to retry only runs that the newest submission does not list, and to continue also those that
            were interrupted or never started: the sweep's command does not.
        options: Container options; None for the containers that they were submitted with.
        source: The folder with the code for the runs; None for the folder of this launcher's code.

    Returns:
        The submission, which the caller must start; without views if there is nothing to retry.

    Raises:
        LaunchError: If another process runs the sweep, or a file that a command names is gone.
        BackendError: If a container of one of the runs may still be running.
    """
    state = store.sweep(sweep).state()
    check_queue(state.folder, profile or scheduling_profile(state.manifest.newest_header()))
    state = state.refreshed(fed=())
    header = state.manifest.newest_header()
    moved, profile = profile is not None, profile or submission_profile(header, f"launch retry {sweep}")
    every = state.views()
    states = (State.FAILED,) if failed_only else (*_ENDED, *_STOPPED) if earlier else _ENDED
    views = [view for view in every if view.state in states]
    views = [view for view in views if state.manifest.is_earlier(view.run_id) == earlier]
    submission = Submission(
        sweep=sweep,
        generation=header.generation,
        profile=profile,
        state=state,
        views=(),
        warnings=(*state.manifest.problems, *_still_stopping(state, every)),
    )
    if not views:
        return submission
    refuse_stuck(end_orphans(views))
    entries = _entries_to_retry(state, views)
    check_writable(state.folder, *(str(Path(view.run_dir, ATTEMPTS)) for view in views))
    check_program_files(state.folder, dict.fromkeys(entry.run_id for entry in entries), header.file)
    notes = find_backend(profile).check(entries)
    containers = plan_containers_for_retry(state, options or ContainerOptions(), profile, entries, moved=moved)
    snapshot = take_snapshot(source or OWN_CODE, store.root)
    header = replace(
        containers.prepare().on(header),
        why=Trigger.RETRY,
        backend=profile.backend,
        profile=profile.name,
        snapshot=snapshot.hash,
        commit=snapshot.commit,
        created=time.time(),
    )
    state, generation = state.freeze(header, entries)
    return replace(
        submission,
        generation=generation,
        state=state,
        views=tuple(state.views(entry.run_id for entry in entries)),
        warnings=(
            *snapshot.notices,
            *submission.warnings,
            *containers.warnings,
            *describe_dropped_settings(profile, containers.runtime),
            *notes,
        ),
    )


def _still_stopping(state: SweepState, views: list[RunView]) -> list[str]:
    """Return a warning about runs that were cancelled and have not ended yet, if there are any."""
    listed = state.manifest.listed
    running = [view for view in views if view.state is State.RUNNING]
    stopping = [v for v in running if is_cancelled(v.run_dir, retried=listed[v.run_id].retried)]
    if not stopping:
        return []
    count = plural(len(stopping), "cancelled run")
    return [f"{count} still stopping: type `launch retry {state.name}` again when that has ended"]


def _entries_to_retry(state: SweepState, views: list[RunView]) -> list[ManifestEntry]:
    """Return the entries of runs to retry, and of the runs that wait for them, in the order of the manifest."""
    chosen = {view.run_id for view in views}
    waiting = state.dependencies.dependents(chosen)
    chosen |= {run_id for run_id in waiting if state.view(run_id).state not in TERMINAL}
    return [listed.entry for run_id, listed in state.manifest.listed.items() if run_id in chosen]
