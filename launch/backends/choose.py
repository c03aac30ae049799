"""Finding the backend that a profile names, and whether a sweep may be given to it."""

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
        BackendError: If there is no backend of that name, as in a profile that a program made by hand.
    """
    if profile.backend == BackendName.LOCAL:
        return LocalBackend(profile)
    if profile.backend == BackendName.SLURM:
        from launch.backends.slurm.backend import SlurmBackend  # loading submitit takes 0.2 s

        return SlurmBackend(profile)
    raise BackendError(unknown("backend", profile.backend, BACKENDS), hint=f"the backends are {', '.join(BACKENDS)}")


def scheduling_profile(header: ManifestHeader) -> Profile:
    """Return as much of the profile of a generation as says who schedules it: its file may be gone."""
    return Profile(name=header.profile, backend=header.backend)


def check_queue(sweep: str, profile: Profile) -> None:
    """Refuse to touch the sweep in a folder that another process feeds; wait for one that submits, which is soon done.

    Raises:
        LaunchError: Naming the other process.
    """
    patience_s = SUBMIT_PATIENCE_S if isinstance(find_backend(profile), SchedulerBackend) else 0.0
    check_not_busy(sweep, patience_s=patience_s)
