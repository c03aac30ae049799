"""Starting anew what has failed, or was cancelled or lost. Starts nothing and prints nothing."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

from launch.actions.container_plan import ContainerOptions, plan_containers_for_retry
from launch.actions.orphans import end_orphans, refuse_stuck
from launch.actions.submission import Submission, backend_of, queue_reader, refuse_second, snapshot_of, view_runs
from launch.profiles.profile import Profile, load_profile
from launch.store.dependencies import DependencyGraph
from launch.store.run_dirs import WriteReport
from launch.store.state import OVER, State
from launch.store.store import Store


def retry(
    store: Store,
    sweep: str,
    profile: Profile | None = None,
    *,
    failed_only: bool,
    choice: ContainerOptions | None = None,
    source: Path | None = None,
) -> Submission:
    """List failed runs (and cancelled and lost ones, unless `failed_only`) in a new generation, which starts them anew.

    Those that wait for them, and were submitted with them, are listed too: their turn comes then.

    Args:
        store: Where the runs lie.
        sweep: Name of the sweep.
        profile: Where they execute; None for the one they were submitted with.
        failed_only: Whether to leave cancelled and lost runs alone.
        choice: What they execute in; None for what they were submitted with.
        source: The folder whose code the runs execute; None for the one this launcher was imported from.

    Returns:
        The submission, to be driven; without views where there is nothing to retry.

    Raises:
        LaunchError: Where another launcher has the sweep.
        BackendError: Where a container of one of them may still be at work.
    """
    own = store.sweep(sweep)
    refuse_second(own, profile or queue_reader(own.manifest().newest_header()))
    states = (State.FAILED,) if failed_only else (State.FAILED, State.CANCELLED, State.LOST)
    known = own.views()
    views = [view for view in known if view.state in states]
    manifest = own.manifest()
    header = manifest.newest_header()
    moved, profile = profile is not None, profile or load_profile(header.profile)
    submission = Submission(
        sweep=sweep,
        generation=None,
        profile=profile,
        runs=(),
        report=WriteReport(),
        views=(),
        warnings=tuple(own.problems),
    )
    if not views:
        return submission
    refuse_stuck(end_orphans(views))
    chosen = {view.run_id for view in views}
    waiting = DependencyGraph(manifest).dependents(chosen)
    chosen |= {view.run_id for view in known if view.run_id in waiting and view.state not in OVER}
    entries = [manifest.listed[view.run_id].entry for view in known if view.run_id in chosen]
    backend_of(profile).check(entries)
    containment = plan_containers_for_retry(own, choice or ContainerOptions(), profile, header, entries, moved=moved)
    snapshot, notices = snapshot_of(source, store)
    header = replace(
        containment.on(header),
        why="retry",
        backend=profile.backend,
        profile=profile.name,
        snapshot=snapshot,
        created=time.time(),
    )
    return replace(
        submission,
        generation=own.freeze(header, entries),
        views=view_runs(own, entries),
        warnings=(*notices, *own.problems, *containment.warnings),
        containment=containment,
    )
