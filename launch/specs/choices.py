"""The names of the backends and runtimes that a profile can choose."""

from __future__ import annotations

from enum import StrEnum


class BackendName(StrEnum):
    """The backends, which schedule runs."""

    LOCAL = "local"  # a queue on this machine
    SLURM = "slurm"


class RuntimeName(StrEnum):
    """The runtimes, which wrap the command of an attempt."""

    BARE = "bare"  # a plain process
    DOCKER = "docker"
    PODMAN = "podman"
    APPTAINER = "apptainer"
    PYXIS = "pyxis"
    CHARLIECLOUD = "charliecloud"


BACKENDS = tuple(name.value for name in BackendName)
RUNTIMES = tuple(name.value for name in RuntimeName)
# The runtimes that are container engines, which store and build images.
ENGINES = (RuntimeName.DOCKER.value, RuntimeName.PODMAN.value)
# The runtimes that execute images on any machine, each with its program. `launch shell` tries them in this order. Pyxis
# has no program and works only under Slurm: it adds options to Slurm's srun.
PROGRAMS = {
    RuntimeName.DOCKER.value: "docker",
    RuntimeName.PODMAN.value: "podman",
    RuntimeName.APPTAINER.value: "apptainer",
    RuntimeName.CHARLIECLOUD.value: "ch-run",
}
