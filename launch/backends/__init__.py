"""Who schedules the attempts of a sweep. One file per backend."""

from __future__ import annotations

from launch.backends.base import Backend, OnChange
from launch.backends.local import LocalBackend
from launch.errors import BackendError
from launch.profiles import Profile

__all__ = ["BACKENDS", "Backend", "OnChange", "find_backend"]

BACKENDS: dict[str, type[LocalBackend]] = {"local": LocalBackend}


def find_backend(profile: Profile) -> Backend:
    """Return the backend that a profile names.

    Raises:
        BackendError: Where there is none of that name.
    """
    if profile.backend not in BACKENDS:
        raise BackendError(f"no backend {profile.backend!r}", hint=f"the backends are {', '.join(BACKENDS)}")
    return BACKENDS[profile.backend](profile)
