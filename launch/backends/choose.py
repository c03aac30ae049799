"""Finding the backend that a profile names."""

from __future__ import annotations

from launch.backends.base import Backend
from launch.backends.local.backend import LocalBackend
from launch.errors import BackendError
from launch.profiles.profile import Profile


def find_backend(profile: Profile) -> Backend:
    """Return the backend that a profile names.

    Raises:
        BackendError: If there is no backend of that name.
    """
    match profile.backend:
        case "local":
            return LocalBackend(profile)
        case "slurm":
            from launch.backends.slurm.backend import SlurmBackend  # loading submitit takes 0.2 s

            return SlurmBackend(profile)
        case name:
            raise BackendError(f"no backend {name!r}", hint="the backends are local, slurm")
