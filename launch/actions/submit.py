"""Submitting a sweep: compose, check, store, freeze. Starts nothing and prints nothing."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from launch.actions.container_plan import ContainerOptions, plan_containers_of_stored_runs
from launch.actions.differences import changed_since_failure, describe_changed, describe_changes
from launch.actions.estimate import Estimate, estimate_runs
from launch.actions.submission import (
    Submission,
    adopt,
    backend_of,
    check_after,
    entry_of,
    find_left_out,
    find_predecessors,
    freeze_or_reuse,
    refuse_second,
    select,
    snapshot_of,
    view_runs,
)
from launch.backends.base import AttendedBackend
from launch.errors import LaunchError
from launch.profiles.profile import Profile
from launch.store.files import fault_point
from launch.store.records import ManifestEntry, ManifestHeader
from launch.store.run_result import has_result
from launch.store.state import OVER, State
from launch.store.store import Store, SweepStore

if TYPE_CHECKING:
    from launch.compose.composer import Run
    from launch.sweepfile.sweep import Sweep

_T = TypeVar("_T")


def submit(
    sweep: Sweep,
    store: Store,
    profile: Profile,
    *,
    only: str | None = None,
    choice: ContainerOptions | None = None,
    source: Path | None = None,
    dry_run: bool = False,
) -> Submission:
    """Compose, check and store the runs of a sweep, and freeze them in its manifest. Starts nothing.

    Args:
        sweep: The sweep.
        store: Where its runs lie.
        profile: Where they execute.
        only: A glob over run ids, experiments and `key=value` settings; None for every run.
        choice: What they execute in, where that is not what the profile says.
        source: The folder whose code the runs execute; None for the one this launcher was imported from.
        dry_run: Whether to write nothing. What keeps the runs from starting here is then told, not raised.

    Returns:
        The submission.

    Raises:
        LaunchError: For a mistake that can be found before anything starts, or where another launcher has the sweep.
    """
    from launch.compose.composer import Composer  # Hydra takes its time, and the other verbs do without

    refuse_second(store.sweep(sweep.name), profile)
    composer = Composer()
    planned = composer.plan_all(sweep.runs)
    runs = select(planned, only)
    submission = submit_runs(
        sweep, runs, store, profile, planned=planned, choice=choice, source=source, dry_run=dry_run
    )
    return replace(submission, warnings=(*composer.warnings, *submission.warnings))


def submit_runs(
    sweep: Sweep,
    runs: Sequence[Run],
    store: Store,
    profile: Profile,
    *,
    planned: Sequence[Run] = (),
    choice: ContainerOptions | None = None,
    source: Path | None = None,
    dry_run: bool = False,
) -> Submission:
    """Check and store composed runs, and freeze them in their sweep's manifest: the second half of `submit`.

    `planned` are all runs of the sweep, where these are only some.
    """
    from launch.compose.preflight import find_obstacles, refuse_obstacles

    own = store.sweep(sweep.name)
    refuse_second(own, profile)
    obstacles: list[LaunchError] = []
    attended = isinstance(backend_of(profile), AttendedBackend)
    _tried(lambda: check_after(sweep.after, store, attended=attended), obstacles, dry=dry_run)
    before = find_predecessors(runs, planned)
    obstacles += find_left_out(runs, before, own)
    obstacles += find_obstacles(runs, {**os.environ, **profile.env})
    if not dry_run:
        refuse_obstacles(obstacles)
    entries = [entry_of(run) for run in runs]
    left = [entry for entry in entries if not has_result(str(own.run_dir(entry.run_id)))]
    if left:  # what is done asks nothing of a machine or a cluster any more
        _tried(lambda: backend_of(profile).check(left), obstacles, dry=dry_run)
    configs = [run.config for run in runs]
    containment = _tried(
        lambda: plan_containers_of_stored_runs(own, choice or ContainerOptions(), profile, configs, left, dry=dry_run),
        obstacles,
        dry=dry_run,
    )
    obstacles += containment.obstacles if containment else ()
    report = own.write_run_dirs(runs, dry=dry_run)
    changes = describe_changes(report, runs, own.path, from_file=sweep.file is not None, dry=dry_run)
    warnings = [*changes, *own.problems, *(containment.warnings if containment else ())]
    submission = Submission(
        sweep=sweep.name,
        generation=None,
        profile=profile,
        runs=tuple(runs),
        report=report,
        views=(),
        warnings=tuple(warnings),
        max_parallel=sweep.max_parallel,
        obstacles=tuple(obstacles),
        containment=containment,
    )
    if dry_run or containment is None:
        views = view_runs(own, entries)
        again = changed_since_failure(views, runs)
        chosen = {view.run_id for view in again}
        views = tuple(replace(view, state=State.PLANNED) if view.run_id in chosen else view for view in views)
        return replace(submission, views=views, warnings=(*warnings, *describe_changed(again, dry=True)))
    fault_point("submit.planned")
    snapshot, notices = snapshot_of(source, store)
    header = containment.on(_header(sweep, profile, snapshot))
    # What has succeeded is listed too where chosen runs come after it: it is told to them.
    listed = [*entries, *map(entry_of, before)]
    generation = freeze_or_reuse(own, header, listed)
    fault_point("submit.frozen")
    views = adopt(own, view_runs(own, entries))
    again = changed_since_failure(views, runs)
    if again:
        generation = _start_again(own, header, listed, {view.run_id for view in again})
        views = view_runs(own, entries)
    warnings += [*notices, *describe_changed(again)]
    return replace(submission, generation=generation, views=views, warnings=tuple(warnings))


def _tried(do: Callable[[], _T], obstacles: list[LaunchError], *, dry: bool) -> _T | None:
    """Do what may find something in the way; a dry run tells of it after its plan."""
    try:
        return do()
    except LaunchError as error:
        if not dry:
            raise
        obstacles.append(error)
        return None


def _start_again(own: SweepStore, header: ManifestHeader, entries: list[ManifestEntry], chosen: set[str]) -> int:
    """List some runs as to be tried again, and then all of them, so that the newest generation has every run."""
    own.freeze(replace(header, why="retry"), [entry for entry in entries if entry.run_id in chosen])
    return own.freeze(header, entries)


def _header(sweep: Sweep, profile: Profile, snapshot: str) -> ManifestHeader:
    return ManifestHeader(
        sweep=sweep.name,
        generation=0,
        why="submit",
        file=sweep.file,
        backend=profile.backend,
        profile=profile.name,
        runtime=profile.runtime,
        snapshot=snapshot,
        metric=sweep.metric,
        retry=sweep.retry,
        published=sweep.published,
        created=time.time(),
        max_parallel=sweep.max_parallel,
        after=sweep.after,
    )


def estimate_left(submission: Submission, store: Store) -> Estimate:
    """Judge by earlier attempts what the runs that are left will cost."""
    left = [view for view in submission.views if view.state not in OVER]
    return estimate_runs(left, submission.runs, store, submission.sweep)
