"""The closed choices of a profile: who schedules runs, and what wraps their commands."""

from __future__ import annotations

from enum import StrEnum


class BackendName(StrEnum):
    """Who schedules the runs."""

    LOCAL = "local"  # a queue on this machine
    SLURM = "slurm"


class RuntimeName(StrEnum):
    """What wraps the command of an attempt."""

    BARE = "bare"  # a plain process
    DOCKER = "docker"
    PODMAN = "podman"
    APPTAINER = "apptainer"
    PYXIS = "pyxis"
    CHARLIECLOUD = "charliecloud"


BACKENDS = tuple(name.value for name in BackendName)
RUNTIMES = tuple(name.value for name in RuntimeName)
# The runtimes that are container engines: they hold images, and build them.
ENGINES = (RuntimeName.DOCKER.value, RuntimeName.PODMAN.value)
