"""Find the backend that a profile names, and check that no other process feeds a sweep."""

from __future__ import annotations

from launch.backends.base import Backend, SchedulerBackend
from launch.backends.local.backend import LocalBackend
from launch.errors import BackendError, unknown
from launch.profiles.profile import Profile
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


def check_queue(sweep: str, profile: Profile) -> None:
    """Raise if another process feeds the sweep in a folder. If it submits to a scheduler, first wait for its end.

    Raises:
        LaunchError: The message names the other process.
    """
    patience_s = SUBMIT_PATIENCE_S if isinstance(find_backend(profile), SchedulerBackend) else 0.0
    check_not_busy(sweep, patience_s=patience_s)
