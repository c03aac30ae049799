"""The use cases: submit a sweep, drive it, leave it to the background, refresh, cancel, retry. Prints nothing."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from launch.containment import Choice, contain_again, contain_left
from launch.differences import describe_changes
from launch.disk.attempts import has_result
from launch.disk.files import fault
from launch.disk.plan import PlanReport
from launch.disk.store import Store, SweepStore
from launch.errors import ExitCode, LaunchError
from launch.estimate import Estimate, estimate_runs
from launch.profiles import Profile, load_profile
from launch.reaping import reap
from launch.records import ManifestHeader, RunView, State
from launch.submission import Submission, adopt, check_after, entry_of, freeze_or_reuse, look_at, select

if TYPE_CHECKING:
    from launch.backends import Backend, Handover
    from launch.compose.composer import Run
    from launch.language.sweep import Sweep

# How long to wait for another process that hands over to a scheduler.
_PATIENCE_S = 130.0
_LOOK_S = 0.05

_OVER = (State.SUCCEEDED, State.FAILED, State.CANCELLED)

# Where the code lies that runs execute, unless another place is named: the one this launcher was imported from.
_SOURCE = Path(__file__).resolve().parents[1]


def submit(
    sweep: Sweep,
    store: Store,
    profile: Profile,
    *,
    only: str | None = None,
    choice: Choice | None = None,
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

    _refuse_second(store.sweep(sweep.name), profile)
    composer = Composer()
    runs = select(composer.plan_all(sweep.runs), only)
    submission = submit_runs(sweep, runs, store, profile, choice=choice, source=source, dry_run=dry_run)
    return replace(submission, warnings=(*composer.warnings, *submission.warnings))


def submit_runs(
    sweep: Sweep,
    runs: Sequence[Run],
    store: Store,
    profile: Profile,
    *,
    choice: Choice | None = None,
    source: Path | None = None,
    dry_run: bool = False,
) -> Submission:
    """Check and store composed runs, and freeze them in their sweep's manifest: the second half of `submit`."""
    from launch.compose.obstacles import find_obstacles, refuse_obstacles

    own = store.sweep(sweep.name)
    _refuse_second(own, profile)
    check_after(sweep.after, store, attended=_backend(profile).attended)
    obstacles: list[LaunchError] = [*find_obstacles(runs, {**os.environ, **profile.env})]
    if not dry_run:
        refuse_obstacles(obstacles)
    entries = [entry_of(run) for run in runs]
    left = [entry for entry in entries if not has_result(str(own.run_dir(entry.run_id)))]
    if left:  # what is done asks nothing of a machine or a cluster any more
        try:
            _backend(profile).check(left)
        except LaunchError as error:
            if not dry_run or error.exit_code is not ExitCode.USAGE:
                raise
            obstacles.append(error)
    containment = contain_left(own, choice or Choice(), profile, [run.config for run in runs], left, dry=dry_run)
    obstacles += containment.obstacles
    report = own.plan(runs, dry=dry_run)
    changes = describe_changes(report, runs, own.path, from_file=sweep.file is not None, dry=dry_run)
    warnings = [*changes, *own.problems, *containment.warnings]
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
    if dry_run:
        return replace(submission, views=look_at(own, entries))
    fault("submit.planned")
    snapshot, notices = _snapshot(source, store)
    header = containment.on(_header(sweep, profile, snapshot))
    generation = freeze_or_reuse(own, header, entries)
    fault("submit.frozen")
    views = adopt(own, look_at(own, entries))
    return replace(submission, generation=generation, views=views, warnings=(*warnings, *notices))


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


def _backend(profile: Profile) -> Backend:
    from launch.backends import find_backend

    return find_backend(profile)


def _refuse_second(sweep: SweepStore, profile: Profile) -> None:
    """Refuse to touch a sweep that another process feeds; one that hands over to a scheduler soon lets go of it."""
    deadline = time.monotonic() + (0.0 if _backend(profile).attended else _PATIENCE_S)
    while sweep.queue() is not None:
        if time.monotonic() >= deadline:
            raise sweep.busy()
        time.sleep(_LOOK_S)


def _snapshot(source: Path | None, store: Store) -> tuple[str, tuple[str, ...]]:
    from launch.snapshot import take_snapshot

    snapshot = take_snapshot(source or _SOURCE, store.root)
    return snapshot.hash, snapshot.notices


def drive(
    submission: Submission, store: Store, *, on_change: Callable[[list[RunView]], None] | None = None
) -> list[RunView]:
    """Start the runs of a submission and see them through, in the foreground.

    The first SIGINT, SIGTERM or SIGHUP stops the runs in good order; a second one kills them.

    Args:
        submission: What to run.
        store: Where its runs lie.
        on_change: Called with the views of the submission's runs whenever one changes, and about once a second.

    Returns:
        The views at the end.

    Raises:
        LaunchError: Where another launcher has the sweep.
    """
    sweep = store.sweep(submission.sweep)
    generation = _generation(submission)
    _backend(submission.profile).drive(sweep, generation, on_change)
    listed = sweep.manifest().listed
    return [sweep.look(listed[view.run_id], fed=False) for view in submission.views]


def _generation(submission: Submission) -> int:
    if submission.generation is None:
        raise ValueError("a dry run cannot be started")
    return submission.generation


def detach(submission: Submission, store: Store) -> int:
    """Start the runs of a submission in a process of their own, which outlives the terminal.

    Returns:
        Its pid. It writes to `runs/<sweep>/queue.log`.

    Raises:
        LaunchError: Where another launcher has the sweep, or the process does not start.
    """
    sweep = store.sweep(submission.sweep)
    _refuse_second(sweep, submission.profile)
    return _backend(submission.profile).detach(sweep, _generation(submission))


def is_attended(submission: Submission) -> bool:
    """Say whether a process here must stay until the runs of a submission have ended."""
    return _backend(submission.profile).attended


def hand_over(submission: Submission, store: Store, *, asked: bool = True) -> Handover:
    """Give the runs of a submission to a scheduler that needs nobody here.

    Args:
        submission: What to run.
        store: Where its runs lie.
        asked: Whether a person asked for it.

    Returns:
        What it has now.

    Raises:
        LaunchError: Where it does not answer, or refuses; it has nothing of them then.
    """
    sweep = store.sweep(submission.sweep)
    return _backend(submission.profile).hand_over(sweep, _generation(submission), asked=asked)


def feed(store: Store, sweep: str) -> Handover | None:
    """Give a scheduler what it had no room for before; None for a sweep of this machine's own."""
    own = store.sweep(sweep)
    header = own.manifest().newest_header()
    if _backend(_bare_profile(header)).attended:
        return None
    return _backend(load_profile(header.profile)).hand_over(own, header.generation, asked=False)


def preview(submission: Submission, store: Store) -> list[str]:
    """Return what a scheduler that needs nobody here would be asked for the runs that are left, as texts.

    Args:
        submission: A dry run's.
        store: Where its runs lie.
    """
    ids = {view.run_id for view in submission.views if view.state not in (*_OVER, State.RUNNING, State.PENDING)}
    entries = [entry for run in submission.runs if (entry := entry_of(run)).run_id in ids]
    return _backend(submission.profile).preview(store.sweep(submission.sweep), entries, submission.max_parallel)


def _scheduling(sweep: SweepStore) -> Profile:
    """Return as much of a sweep's profile as says who schedules."""
    headers = sweep.manifest().headers
    return Profile(name="local") if not headers else _bare_profile(headers[max(headers)])


def _bare_profile(header: ManifestHeader) -> Profile:
    return Profile(name=header.profile, backend=header.backend)


def refresh(store: Store, sweep: str) -> list[RunView]:
    """Return what is known of a sweep's runs. Changes nothing."""
    return store.sweep(sweep).views()


def retry(
    store: Store,
    sweep: str,
    profile: Profile | None = None,
    *,
    failed_only: bool,
    choice: Choice | None = None,
    source: Path | None = None,
) -> Submission:
    """List failed runs (and cancelled and lost ones, unless `failed_only`) in a new generation, which starts them anew.

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
    """
    own = store.sweep(sweep)
    _refuse_second(own, profile or _scheduling(own))
    states = (State.FAILED,) if failed_only else (State.FAILED, State.CANCELLED, State.LOST)
    views = tuple(view for view in own.views() if view.state in states)
    manifest = own.manifest()
    header = manifest.newest_header()
    moved, profile = profile is not None, profile or load_profile(header.profile)
    submission = Submission(
        sweep=sweep,
        generation=None,
        profile=profile,
        runs=(),
        report=PlanReport(),
        views=(),
        warnings=tuple(own.problems),
    )
    if not views:
        return submission
    reap(views)
    entries = [manifest.listed[view.run_id].entry for view in views]
    _backend(profile).check(entries)
    containment = contain_again(own, choice or Choice(), profile, header, entries, moved=moved)
    snapshot, notices = _snapshot(source, store)
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
        views=look_at(own, entries),
        warnings=(*notices, *own.problems, *containment.warnings),
        containment=containment,
    )


def estimate(submission: Submission, store: Store) -> Estimate:
    """Judge by earlier attempts what the runs that are left will cost."""
    left = [view for view in submission.views if view.state not in _OVER]
    return estimate_runs(left, submission.runs, store, submission.sweep)
