"""The runtimes: each wraps the command of an attempt. One module per runtime, imported when it is needed."""

from __future__ import annotations

from launch.containers.runtimes.base import REFUSED, UNREACHED, CommandCall, HostCommand, Runtime
from launch.errors import LaunchError, unknown
from launch.specs.choices import RUNTIMES, RuntimeName

__all__ = ["REFUSED", "UNREACHED", "CommandCall", "HostCommand", "Runtime", "find_runtime"]


def find_runtime(name: str) -> Runtime:
    """Return the runtime with this name; raise if there is no such runtime."""
    match name:
        case RuntimeName.BARE:
            from launch.containers.runtimes.bare import Bare

            return Bare()
        case RuntimeName.DOCKER:
            from launch.containers.runtimes.docker import Docker

            return Docker()
        case RuntimeName.PODMAN:
            from launch.containers.runtimes.podman import Podman

            return Podman()
        case RuntimeName.APPTAINER:
            from launch.containers.runtimes.apptainer import Apptainer

            return Apptainer()
        case RuntimeName.PYXIS:
            from launch.containers.runtimes.pyxis import Pyxis

            return Pyxis()
        case RuntimeName.CHARLIECLOUD:
            from launch.containers.runtimes.charliecloud import Charliecloud

            return Charliecloud()
        case _:
            raise LaunchError(unknown("runtime", name, RUNTIMES), hint=f"the runtimes are {', '.join(RUNTIMES)}")
