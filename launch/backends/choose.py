"""Find the backend that a profile names, and check that no other process feeds a sweep."""

from __future__ import annotations

from launch.backends.base import Backend, SchedulerBackend
from launch.backends.local.backend import LocalBackend
from launch.errors import BackendError, LaunchError, printable, unknown
from launch.profiles.profile import Profile, load_profile, profile_names
from launch.specs.choices import BACKENDS, BackendName
from launch.store.queue_lock import SUBMIT_PATIENCE_S, check_not_busy
from launch.store.records import ManifestHeader


def find_backend(profile: Profile) -> Backend:
    """Return the backend that a profile names.

    Raises:
        BackendError: If there is no backend of that name: a Python program can make such a profile.
    """
    if profile.backend == BackendName.LOCAL:
        return LocalBackend(profile)
    if profile.backend == BackendName.SLURM:
        from launch.backends.slurm.backend import SlurmBackend  # loading submitit takes 0.2 s

        return SlurmBackend(profile)
    raise BackendError(unknown("backend", profile.backend, BACKENDS), hint=f"the backends are {', '.join(BACKENDS)}")


def scheduling_profile(header: ManifestHeader) -> Profile:
    """Return a profile with only the name and the backend of a generation's profile: its file may be gone."""
    return Profile(name=header.profile, backend=header.backend)


def submission_profile(header: ManifestHeader, again: str) -> Profile:
    """Return the profile with which a sweep was submitted.

    Args:
        header: The header of the submission.
        again: The command that executes the runs with another profile, without `--on`.

    Raises:
        LaunchError: If this user has no such profile, as another user submitted the sweep, or if it is not valid.
    """
    try:
        return load_profile(header.profile)
    except LaunchError as error:
        name, own = printable(header.profile), [name for name in profile_names() if name != header.profile]
        where = f"the sweep {header.sweep} was submitted with the profile {name!r}"
        hint, python_hint = f"`{again} --on PROFILE` uses one of yours: {', '.join(own)}", "pass `on=` one of yours"
        if header.profile in profile_names() and error.hint:
            hint, python_hint = f"{error.hint}; or {hint}", f"{error.hint}; or {python_hint}"
        raise LaunchError(f"{where}: {error.message}", hint=hint, python_hint=python_hint) from error


def check_queue(sweep: str, profile: Profile) -> None:
    """Raise if another process feeds the sweep in a folder. If it submits to a scheduler, first wait for its end.

    Raises:
        LaunchError: The message names the other process.
    """
    patience_s = SUBMIT_PATIENCE_S if isinstance(find_backend(profile), SchedulerBackend) else 0.0
    check_not_busy(sweep, patience_s=patience_s)
