"""The image of a command as the file or folder that a runtime without an engine executes. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

from launch.containers.runtimes.base import ContainerCall, StartFailure, last_line
from launch.errors import LaunchError
from launch.specs.mount import Mount
from launch.store.state import Reason
from s5.run_dir.result import SUPERVISOR_PIPE_VARIABLE

# What Slurm and the step say to each task, and which GPUs are its node's.
_OF_STEP = ("SLURM", "JAX_", "CUDA_VISIBLE_DEVICES")

# What separates paths in an option that mounts them, and nothing hides. Apptainer's are quoted.
_SEPARATORS = {"charliecloud": ":", "pyxis": ":,"}


def image_file(call: ContainerCall) -> str:
    """Return the file or folder of a command's image.

    Raises:
        LaunchError: If it has none.
    """
    if call.image is None or call.image.file is None:
        name = "no image" if call.image is None else f"the image {call.image.name}, which is not converted"
        raise LaunchError(f"the run has {name}", hint="type the sweep's command again: it finds or converts one")
    return call.image.file


def from_step(call: ContainerCall, handed: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Split what is handed in: what is known now, and what the job step must find in its environment as it is started.

    Of several tasks each is told by Slurm which it is, and by the step where the first one is.

    Args:
        call: The command.
        handed: Everything that is handed in.

    Returns:
        Both parts; the second is empty for a command of one task, whose environment is known whole.
    """
    if call.resources.tasks == 1:
        return dict(handed), {}
    later = {name: value for name, value in handed.items() if name.startswith(_OF_STEP)}
    # A pipe does not reach other nodes; Slurm ends the step with its job.
    return {name: handed[name] for name in handed if name not in later and name != SUPERVISOR_PIPE_VARIABLE}, later


def check_mount(mount: Mount, runtime: str) -> Mount:
    """Return a mount if a runtime's options can say it.

    Raises:
        LaunchError: If a path contains what separates one from another there.
    """
    for path in (mount.source, mount.target):
        found = next((character for character in _SEPARATORS.get(runtime, "") if character in path), None)
        if found is not None:
            raise LaunchError(
                f"{path}: {runtime} cannot mount a path with {found!r} in it", hint="choose another folder"
            )
    return mount


def find_refusal(log: str, pattern: str, runtime: str) -> StartFailure | None:
    """Return why a command was never started, where its runtime has had the last word.

    Args:
        log: The end of the command's log.
        pattern: What the runtime's own errors look like, with what they say in a group.
        runtime: Its name.
    """
    last = last_line(log)
    found = re.fullmatch(pattern, last.strip())
    return None if found is None else StartFailure(reason=Reason.START, message=f"{runtime}: {found[1]}")
