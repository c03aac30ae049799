"""Functions that the runtimes without an engine share: their image is a file or a folder."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from launch.containers.runtimes.base import CommandCall, RuntimeDiagnosis, last_line
from launch.errors import LaunchError
from launch.specs.mount import Mount
from launch.store.state import Reason
from s5.run_dir.result import SUPERVISOR_PIPE_VARIABLE

# The prefixes of the variables that Slurm and the step set for each task, and the variable of its GPUs.
_OF_STEP = ("SLURM", "JAX_", "CUDA_VISIBLE_DEVICES")

# The separators of paths in a mount option, which cannot be escaped. Paths for Apptainer can be quoted.
_SEPARATORS = {"charliecloud": ":", "pyxis": ":,"}


def image_file(call: CommandCall) -> str:
    """Return the file or folder of a command's image; raise if the command has no image file."""
    if call.image is None or call.image.file is None:
        name = "no image" if call.image is None else f"the image {call.image.name}, which is not converted"
        raise LaunchError(f"the run has {name}", hint="type the sweep's command again: it finds or converts one")
    return call.image.file


def from_step(call: CommandCall, handed: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Split a container's variables into known ones and those that a job step sets when it starts a task.

    For a command of several tasks, Slurm sets the number of each task, and the step the address of the first task.

    Args:
        call: The command.
        handed: All variables.

    Returns:
        The known variables and the step's variables; the latter are empty for a command of one task.
    """
    if call.resources.tasks == 1:
        return dict(handed), {}
    later = {name: value for name, value in handed.items() if name.startswith(_OF_STEP)}
    # The supervisor's pipe does not reach other nodes; Slurm ends the step with its job.
    return {name: handed[name] for name in handed if name not in later and name != SUPERVISOR_PIPE_VARIABLE}, later


def csv_line(fields: Iterable[str]) -> str:
    """Return a line of comma-separated values; a value with a comma or quote is quoted."""
    return ",".join('"' + field.replace('"', '""') + '"' if set(field) & {",", '"'} else field for field in fields)


def check_mount(mount: Mount, runtime: str) -> Mount:
    """Return the mount; raise if one of its paths contains a character that the runtime uses as a separator."""
    for path in (mount.source, mount.target):
        found = next((character for character in _SEPARATORS.get(runtime, "") if character in path), None)
        if found is not None:
            raise LaunchError(
                f"{path}: {runtime} cannot mount a path with {found!r} in it", hint="choose another folder"
            )
    return mount


def find_refusal(log: str, pattern: str, runtime: str) -> RuntimeDiagnosis | None:
    """Return why a command was not started if its log's last line is an error of the runtime; None otherwise."""
    found = re.fullmatch(pattern, last_line(log).strip())
    return None if found is None else RuntimeDiagnosis(reason=Reason.START, message=f"{runtime}: {found[1]}")
