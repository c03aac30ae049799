"""What wraps the command of an attempt. One file per runtime."""

from __future__ import annotations

from launch.errors import LaunchError
from launch.runtimes.bare import Bare
from launch.runtimes.base import Call, HostCall, Runtime

__all__ = ["RUNTIMES", "Call", "HostCall", "Runtime", "find_runtime"]

RUNTIMES: dict[str, type[Runtime]] = {"bare": Bare}


def find_runtime(name: str) -> Runtime:
    """Return the runtime of a name.

    Raises:
        LaunchError: Where there is none.
    """
    if name not in RUNTIMES:
        raise LaunchError(f"no runtime {name!r}", hint=f"the runtimes are {', '.join(RUNTIMES)}")
    return RUNTIMES[name]()
