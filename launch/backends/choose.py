"""The backend that a profile names, loaded when it is asked for."""

from __future__ import annotations

from launch.backends.base import Backend
from launch.backends.local.backend import LocalBackend
from launch.errors import BackendError, unknown
from launch.profiles.profile import Profile
from launch.specs.choices import BACKENDS, BackendName


def find_backend(profile: Profile) -> Backend:
    """Return the backend that a profile names.

    Raises:
        BackendError: If there is no backend of that name.
    """
    match profile.backend:
        case BackendName.LOCAL:
            return LocalBackend(profile)
        case BackendName.SLURM:
            from launch.backends.slurm.backend import SlurmBackend  # loading submitit takes 0.2 s

            return SlurmBackend(profile)
        case name:
            raise BackendError(unknown("backend", name, BACKENDS), hint=f"the backends are {', '.join(BACKENDS)}")
