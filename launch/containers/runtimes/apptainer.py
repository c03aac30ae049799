"""The runtime Apptainer: it executes the command in a .sif file, as an ordinary process of this user."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import final

from launch.containers.runtimes.base import CommandCall, HostCommand, Runtime, RuntimeDiagnosis
from launch.containers.runtimes.environment import container_environment
from launch.containers.runtimes.image_file import csv_line, find_refusal, from_step, image_file
from launch.specs.mount import Mount, outermost_first
from launch.store.state import Reason
from s5.run_dir.secret import is_secret

# Apptainer sets APPTAINERENV_NAME as NAME in the container; SINGULARITYENV_ is the old spelling of that prefix.
_HANDS_IN = ("APPTAINERENV_", "SINGULARITYENV_")
# The variables that Apptainer and srun themselves read.
_OWN = ("HOME", "PATH", "TMPDIR", "USER")
_FAMILIES = ("APPTAINER_", "SINGULARITY_", "SLURM")
# Do not mount the caller's home and working folder. /tmp is the machine's, and the image is read-only.
# Without --no-eval a shell would evaluate the values of variables, and execute text between backquotes.
_OPTIONS = ("--no-eval", "--no-home", "--no-mount", "cwd")
# Apptainer's starter, which makes the namespaces, exits with 1 and prints its error in colour even to a file.
_NOT_STARTED = re.compile(r"^\x1b\[\d+mERROR\s*: (.+)\n\x1b\[0m\s*\Z", re.MULTILINE)
_FATAL = r"(?:\x1b\[\d+m)?FATAL:\s+(?:\x1b\[0m\s*)?(.+)"


@final
class Apptainer(Runtime):
    """Executes commands by `apptainer exec`, which passes on signals, exit codes and descriptors."""

    def wrap(self, call: CommandCall, surroundings: Mapping[str, str]) -> HostCommand:
        """Return the command line. Variables enter by the environment, as every user can read a command line.

        Raises:
            LaunchError: If the run has no image file.
        """
        image = image_file(call)
        handed = container_environment(call, surroundings)
        handed.pop("HOME", None)  # Apptainer sets HOME to the same folder itself, and warns if we set it
        known, later = from_step(call, handed)
        # The step's variables enter only without --cleanenv, so every other variable is removed here.
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

    def diagnose(self, code: int, log: str) -> RuntimeDiagnosis | None:
        """Return why the command was not started; None if it was started."""
        if code == 255:
            return find_refusal(log, _FATAL, "apptainer")
        found = _NOT_STARTED.search(log) if code == 1 else None
        return None if found is None else RuntimeDiagnosis(reason=Reason.START, message=f"apptainer: {found[1]}")


def _mount(mount: Mount) -> str:
    """Return the value of the option --mount: comma-separated fields, quoted if necessary."""
    fields = ["type=bind", f"source={mount.source}", f"destination={mount.target}", *([] if mount.writable else ["ro"])]
    return csv_line(fields)
