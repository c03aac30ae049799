"""Start a submission: in the foreground, in the background, or through a scheduler. Prints nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from launch.backends.base import AttendedBackend, SchedulerBackend
from launch.backends.choose import check_queue, find_backend, scheduling_profile, submission_profile
from launch.errors import BackendError
from launch.profiles.profile import Profile
from launch.store.state import TERMINAL, State

if TYPE_CHECKING:
    from launch.actions.plan import Plan
    from launch.actions.submit import Submission
    from launch.backends.base import Submitted
    from launch.store.sweep_state import SweepState
    from launch.store.view import RunView


def run_queue(submission: Submission, *, on_change: Callable[[list[RunView]], None] | None = None) -> list[RunView]:
    """Start the runs of a submission in the foreground, wait for them, and return their views at the end.

    The first SIGINT, SIGTERM or SIGHUP lets every run write a checkpoint and stop; a second signal kills the runs.

    Args:
        submission: The submission.
        on_change: Called with the views of the submission's runs whenever one changes, and about once a second.

    Raises:
        LaunchError: If another process runs the sweep.
    """
    backend = find_backend(submission.profile)
    if isinstance(backend, AttendedBackend):
        backend.run(submission.state, submission.generation, on_change)
    else:
        submit_to_queue(submission)
    return submission.state.refreshed(fed=()).views(view.run_id for view in submission.views)


def run_in_background(submission: Submission) -> int:
    """Start the runs of a submission in a background process, which writes to `queue.log`; return its pid.

    Raises:
        LaunchError: If another process runs the sweep, or the process does not start.
    """
    check_queue(submission.state.folder, submission.profile)
    backend = find_backend(submission.profile)
    if not isinstance(backend, AttendedBackend):
        name = submission.profile.name
        raise BackendError(f"profile {name}: its runs go to a scheduler's queue and need no background process")
    try:
        return backend.run_in_background(submission.state, submission.generation)
    except BackendError:
        check_queue(submission.state.folder, submission.profile)  # another process got the lock meanwhile
        raise


def needs_process(submission: Submission) -> bool:
    """Return whether a process on this machine must stay until the runs of a submission have ended."""
    return isinstance(find_backend(submission.profile), AttendedBackend)


def submit_to_queue(submission: Submission) -> Submitted:
    """Submit the runs of a submission to a scheduler.

    Raises:
        LaunchError: If the scheduler does not answer, or refuses: then it has none of the runs.
    """
    return _scheduler(submission.profile).submit(submission.state, submission.generation)


def feed(state: SweepState) -> Submitted | None:
    """Submit the runs for which a scheduler had no room before; return None if this machine itself runs the sweep."""
    header = state.manifest.newest_header()
    if isinstance(find_backend(scheduling_profile(header)), AttendedBackend):
        return None
    profile = submission_profile(header, f"launch sweep {header.file or 'FILE'}")
    return _scheduler(profile).submit(state, header.generation, asked=False)


def preview(plan: Plan) -> list[str]:
    """Return the commands and scripts that would submit the runs that are left; empty without a scheduler."""
    left = {view.run_id for view in plan.views if view.state not in (*TERMINAL, State.RUNNING, State.PENDING)}
    entries = [entry for entry in plan.entries if entry.run_id in left]
    backend = find_backend(plan.profile)
    if not isinstance(backend, SchedulerBackend):
        return []
    return backend.preview(plan.state, entries, plan.sweep.max_parallel)


def _scheduler(profile: Profile) -> SchedulerBackend:
    """Return the backend of a profile that submits to a scheduler.

    Raises:
        BackendError: If the profile's runs execute on this machine.
    """
    backend = find_backend(profile)
    if not isinstance(backend, SchedulerBackend):
        raise BackendError(f"profile {profile.name}: its runs execute on this machine, not in a scheduler's queue")
    return backend
