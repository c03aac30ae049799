"""Giving a submission to its backend: in the foreground, in the background, or to a scheduler. Prints nothing."""

from __future__ import annotations

from collections.abc import Callable

from launch.actions.submission import Submission, backend_of, entry_of, queue_reader, refuse_second
from launch.backends.base import AttendedBackend, SchedulerBackend, Submitted
from launch.errors import BackendError
from launch.profiles.profile import Profile, load_profile
from launch.store.state import OVER, State
from launch.store.store import Store
from launch.store.view import RunView


def run_queue(
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
    backend = backend_of(submission.profile)
    if isinstance(backend, AttendedBackend):
        backend.run(sweep.state(), generation, on_change)
    else:
        submit_to_queue(submission, store)
    manifest = sweep.manifest()
    return sweep.annotate_waiting(
        [sweep.view_of(manifest.listed[view.run_id], fed=False) for view in submission.views], manifest
    )


def _generation(submission: Submission) -> int:
    if submission.generation is None:
        raise ValueError("a dry run cannot be started")
    return submission.generation


def run_in_background(submission: Submission, store: Store) -> int:
    """Start the runs of a submission in a process of their own, which outlives the terminal.

    Returns:
        Its pid. It writes to `runs/<sweep>/queue.log`.

    Raises:
        LaunchError: Where another launcher has the sweep, or the process does not start.
    """
    sweep = store.sweep(submission.sweep)
    refuse_second(sweep, submission.profile)
    backend = backend_of(submission.profile)
    if not isinstance(backend, AttendedBackend):
        name = submission.profile.name
        raise BackendError(f"profile {name}: its runs go to a scheduler's queue and need no process in the background")
    return backend.run_in_background(sweep.state(), _generation(submission))


def needs_process(submission: Submission) -> bool:
    """Say whether a process here must stay until the runs of a submission have ended."""
    return isinstance(backend_of(submission.profile), AttendedBackend)


def submit_to_queue(submission: Submission, store: Store, *, asked: bool = True) -> Submitted:
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
    sweep = store.sweep(submission.sweep).state()
    return _scheduler(submission.profile).submit(sweep, _generation(submission), asked=asked)


def feed(store: Store, sweep: str) -> Submitted | None:
    """Give a scheduler what it had no room for before; None for a sweep of this machine's own."""
    own = store.sweep(sweep).state()
    header = own.manifest.newest_header()
    if isinstance(backend_of(queue_reader(header)), AttendedBackend):
        return None
    return _scheduler(load_profile(header.profile)).submit(own, header.generation, asked=False)


def preview(submission: Submission, store: Store) -> list[str]:
    """Return what a scheduler would be asked for the runs that are left, as texts; nothing for this machine.

    Args:
        submission: A dry run's.
        store: Where its runs lie.
    """
    ids = {view.run_id for view in submission.views if view.state not in (*OVER, State.RUNNING, State.PENDING)}
    entries = [entry for run in submission.runs if (entry := entry_of(run)).run_id in ids]
    backend, sweep = backend_of(submission.profile), store.sweep(submission.sweep).state()
    return backend.preview(sweep, entries, submission.max_parallel) if isinstance(backend, SchedulerBackend) else []


def _scheduler(profile: Profile) -> SchedulerBackend:
    """Return the backend of a profile that submits to a scheduler.

    Raises:
        BackendError: If the profile's runs execute on this machine.
    """
    backend = backend_of(profile)
    if not isinstance(backend, SchedulerBackend):
        raise BackendError(f"profile {profile.name}: its runs execute on this machine, not in a scheduler's queue")
    return backend
