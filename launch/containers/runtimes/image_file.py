"""The image of a command as a file or folder, for runtimes without an engine. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from launch.containers.runtimes.base import ContainerCall, StartFailure, last_line
from launch.errors import LaunchError
from launch.specs.mount import Mount
from launch.store.state import Reason
from s5.run_dir.result import SUPERVISOR_PIPE_VARIABLE

# The variables that Slurm and the step set for each task, and the GPUs of its node.
_OF_STEP = ("SLURM", "JAX_", "CUDA_VISIBLE_DEVICES")

# The separators of paths in an option that mounts them, which cannot be escaped. Apptainer's paths are quoted.
_SEPARATORS = {"charliecloud": ":", "pyxis": ":,"}


def image_file(call: ContainerCall) -> str:
    """Return the file or folder of the image of a command; raise if it has none."""
    if call.image is None or call.image.file is None:
        name = "no image" if call.image is None else f"the image {call.image.name}, which is not converted"
        raise LaunchError(f"the run has {name}", hint="type the sweep's command again: it finds or converts one")
    return call.image.file


def from_step(call: ContainerCall, handed: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Split the variables of a container: those known now, and those that the job step sets when it starts a task.

    Slurm tells each of several tasks its number, and the step tells it the address of the first.

    Args:
        call: The command.
        handed: All variables.

    Returns:
        Both parts; the second is empty for a command of one task.
    """
    if call.resources.tasks == 1:
        return dict(handed), {}
    later = {name: value for name, value in handed.items() if name.startswith(_OF_STEP)}
    # The supervisor's pipe does not reach other nodes; Slurm ends the step with its job.
    return {name: handed[name] for name in handed if name not in later and name != SUPERVISOR_PIPE_VARIABLE}, later


def csv_line(fields: Iterable[str]) -> str:
    """Return a line of comma-separated values, quoted if they hold commas or quotes."""
    return ",".join('"' + field.replace('"', '""') + '"' if set(field) & {",", '"'} else field for field in fields)


def check_mount(mount: Mount, runtime: str) -> Mount:
    """Return a mount; raise if a path contains the character by which a runtime separates paths."""
    for path in (mount.source, mount.target):
        found = next((character for character in _SEPARATORS.get(runtime, "") if character in path), None)
        if found is not None:
            raise LaunchError(
                f"{path}: {runtime} cannot mount a path with {found!r} in it", hint="choose another folder"
            )
    return mount


def find_refusal(log: str, pattern: str, runtime: str) -> StartFailure | None:
    """Return why a command was never started, if the last line of its log is an error of the runtime."""
    found = re.fullmatch(pattern, last_line(log).strip())
    return None if found is None else StartFailure(reason=Reason.START, message=f"{runtime}: {found[1]}")
