"""What wraps the command of an attempt. One file per runtime, imported when it is asked for."""

from __future__ import annotations

from importlib import import_module

from launch.containers.runtimes.base import REFUSED, UNREACHED, ContainerCall, HostCommand, Runtime
from launch.errors import LaunchError

__all__ = ["REFUSED", "RUNTIMES", "UNREACHED", "ContainerCall", "HostCommand", "Runtime", "find_runtime"]

# The name of each is its module's, and with a capital its class's.
RUNTIMES = ("bare", "docker", "podman", "apptainer", "pyxis", "charliecloud")


def find_runtime(name: str) -> Runtime:
    """Return the runtime of a name.

    Raises:
        LaunchError: Where there is none.
    """
    if name not in RUNTIMES:
        raise LaunchError(f"no runtime {name!r}", hint=f"the runtimes are {', '.join(RUNTIMES)}")
    try:
        module = import_module(f"launch.containers.runtimes.{name}")
    except ModuleNotFoundError as error:
        if error.name != f"launch.containers.runtimes.{name}":
            raise
        raise LaunchError(f"the runtime {name} is not there yet") from error
    return getattr(module, name.capitalize())()
