"""Apptainer: the command executes in a .sif file, as a process of this user among all others of the machine."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import final

from launch.containers.runtimes.base import ContainerCall, HostCommand, Runtime, StartFailure
from launch.containers.runtimes.environment import container_environment, is_secret
from launch.containers.runtimes.image_file import csv_line, find_refusal, from_step, image_file
from launch.specs.mount import Mount, outermost_first
from launch.store.state import Reason

# Apptainer sets a variable inside under the rest of the name; SINGULARITYENV_ means the same to it.
_HANDS_IN = ("APPTAINERENV_", "SINGULARITYENV_")
# The variables that Apptainer and srun themselves read.
_OWN = ("HOME", "PATH", "TMPDIR", "USER")
_FAMILIES = ("APPTAINER_", "SINGULARITY_", "SLURM")
# Without the home and the working folder of the caller; /tmp is the machine's, and the image is read-only.
# Without --no-eval a shell would read the values of variables, and execute text between backquotes.
_OPTIONS = ("--no-eval", "--no-home", "--no-mount", "cwd")
# Its starter, which makes the namespaces, ends with 1, and colours its last words even in a file.
_NOT_STARTED = re.compile(r"^\x1b\[\d+mERROR\s*: (.+)\n\x1b\[0m\s*\Z", re.MULTILINE)
_FATAL = r"(?:\x1b\[\d+m)?FATAL:\s+(?:\x1b\[0m\s*)?(.+)"


@final
class Apptainer(Runtime):
    """Executes commands by `apptainer exec`, which forwards signals, ends as they end and hands descriptors on."""

    def wrap(self, call: ContainerCall, surroundings: Mapping[str, str]) -> HostCommand:
        """Return the command line; variables go in through the environment, not for every user to read.

        Raises:
            LaunchError: If the run has no image file.
        """
        image = image_file(call)
        handed = container_environment(call, surroundings)
        handed.pop("HOME", None)  # Apptainer sets it to the same folder, and warns if others do
        known, later = from_step(call, handed)
        # The variables that a step adds enter only if all do, so no others are there then.
        own = {
            name: value
            for name, value in surroundings.items()
            if not name.startswith(_HANDS_IN)
            and not is_secret(name, value)
            and (not later or name in _OWN or name.startswith(_FAMILIES))
        }
        return HostCommand(
            command=(
                *("apptainer", "--quiet", "exec"),
                *_OPTIONS,
                *([] if later else ["--cleanenv"]),
                *(["--nv"] if call.resources.gpus_per_node else []),
                *(word for mount in outermost_first(call.mounts) for word in ("--mount", _mount(mount))),
                *("--pwd", call.folder),
                image,
                *call.command,
            ),
            environment={**own, **later, **{f"{_HANDS_IN[0]}{name}": value for name, value in known.items()}},
        )

    def find(self, code: int, log: str) -> StartFailure | None:
        """Return why the command was never started, or None if it was."""
        if code == 255:
            return find_refusal(log, _FATAL, "apptainer")
        found = _NOT_STARTED.search(log) if code == 1 else None
        return None if found is None else StartFailure(reason=Reason.START, message=f"apptainer: {found[1]}")


def _mount(mount: Mount) -> str:
    """Return a mount as one line of comma-separated values, quoted if necessary."""
    fields = ["type=bind", f"source={mount.source}", f"destination={mount.target}", *([] if mount.writable else ["ro"])]
    return csv_line(fields)
