"""The runtime Pyxis: Slurm itself starts the command's job step in an image, by options of srun."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import final

from launch.containers.runtimes.base import CommandCall, HostCommand, Runtime, RuntimeDiagnosis
from launch.containers.runtimes.environment import container_environment
from launch.containers.runtimes.image_file import check_mount, image_file
from launch.specs.mount import Mount, outermost_first
from launch.store.state import Reason
from s5.run_dir.result import SUPERVISOR_PIPE_VARIABLE

# The variables that srun and Enroot themselves read.
_OWN = ("HOME", "PATH", "USER", "XDG_RUNTIME_DIR")
_FAMILIES = ("ENROOT_", "PYXIS_", "SLURM")
# The first selects the GPUs; without the second, Enroot mounts only the libraries that nvidia-smi needs.
_GPUS = {"NVIDIA_VISIBLE_DEVICES": "all", "NVIDIA_DRIVER_CAPABILITIES": "compute,utility"}
_NO_GPUS = {"NVIDIA_VISIBLE_DEVICES": "void"}
_TMP = Mount(source="/tmp", target="/tmp", writable=True)
_PYXIS = "error: pyxis: "
_OF_SLURM = ("slurmstepd: ", "srun: ")


@final
class Pyxis(Runtime):
    """Executes commands by srun in a SquashFS file on a file system that the nodes share."""

    def wrap(self, call: CommandCall, surroundings: Mapping[str, str]) -> HostCommand:
        """Return the command and the options of its job step.

        All GPUs that the step can reach belong to the job, since Slurm assigns them.

        Raises:
            LaunchError: If the run has no image file, or a path cannot be mounted.
        """
        image = image_file(call)
        handed = {**container_environment(call, surroundings), **(_GPUS if call.resources.gpus_per_node else _NO_GPUS)}
        own = {
            name: value
            for name, value in surroundings.items()
            if (name in _OWN or name.startswith(_FAMILIES)) and name != "SLURM_JWT"
        }
        # Without --container-env a variable of the image would win. No image sets Slurm's own variables.
        named = sorted(name for name in handed if not name.startswith("SLURM") and name != SUPERVISOR_PIPE_VARIABLE)
        return HostCommand(
            command=call.command,
            environment={**own, **handed},
            step=(
                f"--container-image={image}",
                f"--container-mounts={','.join(_mount(mount) for mount in (_TMP, *outermost_first(call.mounts)))}",
                f"--container-workdir={call.folder}",
                f"--container-env={','.join(named)}",
                "--no-container-mount-home",
                "--no-container-remap-root",
                "--no-container-entrypoint",
                "--container-readonly",
            ),
        )

    def diagnose(self, code: int, log: str) -> RuntimeDiagnosis | None:
        """Return why the command was not started; None if it was started."""
        said = itertools.takewhile(lambda line: line.startswith(_OF_SLURM), reversed(log.rstrip().splitlines()))
        # The first of several errors is the cause; Slurm adds that a step has failed.
        found = [line.partition(_PYXIS)[2] for line in said if _PYXIS in line] if code else []
        return RuntimeDiagnosis(reason=Reason.START, message=f"pyxis: {found[-1].strip()}") if found else None


def _mount(mount: Mount) -> str:
    check_mount(mount, "pyxis")
    return ":".join([mount.source, mount.target, *([] if mount.writable else ["ro"])])
