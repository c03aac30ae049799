"""The runtime Podman: `podman run` in the foreground, without an engine process or driver."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import final

from launch.containers.runtimes.base import CommandCall, HostCommand, Runtime, RuntimeDiagnosis, last_line
from launch.containers.runtimes.request import FOLDER_LABEL, ContainerRequest, build_request, own_user, run_words
from launch.store.state import Reason

# The first descriptor that `podman run` passes on: the lifeline; the locks of attempt and slot come after it.
LIFELINE = 3

_PROGRAM = "podman"
# Podman's exit codes: Podman itself failed, the command cannot be executed, or the command does not exist.
_REFUSED = (125, 126, 127)
_ERROR = "Error: "
_NOT_EXECUTED = re.compile(r"\(catatonit:\d+\): failed to exec pid1: (.+)")
# The program catatonit, which is the first process in a container and forwards signals, if it is installed.
_INITS = ("/usr/libexec/podman/catatonit", "/usr/libexec/catatonit/catatonit", "/usr/lib/podman/catatonit")
_PATIENCE_S = 60.0
_SILENT = "podman does not answer"
# The variables that differ between tasks; Podman copies them from its own environment. None of them is a secret.
_OF_A_TASK = ("JAX_*", "SLURM_LOCALID", "SLURM_NODEID", "SLURM_NTASKS*", "SLURM_PROCID", "SLURM_STEP*", "SLURM_TASK*")


@final
class Podman(Runtime):
    """Executes commands in containers of Podman."""

    has_own_group = True

    def wrap(self, call: CommandCall, surroundings: Mapping[str, str]) -> HostCommand:
        """Return the command line of `podman run`."""
        several = call.resources.tasks > 1  # started by srun, which passes no descriptors on
        request = build_request(call, surroundings, user=own_user(), lifeline=None if several else LIFELINE)
        words = ["--replace", "--log-driver=none", f"--preserve-fds={0 if several else call.handed}"]
        words += [f"--env={name}" for name in _OF_A_TASK] if several else []
        return HostCommand(
            command=(*_run_words(request), *words, *run_words(request, podman=True)),
            environment={**surroundings, **call.variables},
            renumbers=not several,
        )

    def shell(self, call: CommandCall, surroundings: Mapping[str, str], *, terminal: bool) -> HostCommand:
        """Return the command line of `podman run`, with a terminal if there is one."""
        request = build_request(call, surroundings, user=own_user(), lifeline=None)
        words = ["--interactive", *(["--tty"] if terminal else [])]
        return HostCommand(
            command=(*_run_words(request), *words, *run_words(request, podman=True)), environment=surroundings
        )

    def diagnose(self, code: int, log: str) -> RuntimeDiagnosis | None:
        """Return why the command was not started if the log's last line is an error of Podman; None otherwise."""
        said = last_line(log)
        if code > 0 and (found := _NOT_EXECUTED.search(said)):
            return RuntimeDiagnosis(reason=Reason.START, message=f"the command is not in the image: {found[1]}")
        if code not in _REFUSED or not said.startswith(_ERROR):
            return None
        return RuntimeDiagnosis(reason=Reason.START, message=f"podman: {said.removeprefix(_ERROR)}")

    def remove_unstarted(self, folder: str) -> bool:
        """Remove a container that was created but never started; return whether there was one.

        A signal that stops `podman run` early leaves such a container.
        """
        found = _containers(folder, "--filter", "status=created")
        if found:
            _ask("rm", "--force", "--ignore", "--time=0", *found)
        return bool(found)

    def end(self, folder: str, *, grace_s: float = 0.0, engine: str | None = None) -> str | None:
        """End the containers of an attempt; return why a container may still be running, or None."""
        del engine
        containers = _containers(folder)
        if not containers:
            return _SILENT if containers is None else None
        if grace_s > 0:
            _ask("stop", "--ignore", f"--time={round(grace_s)}", *containers, timeout_s=grace_s + _PATIENCE_S)
        _ask("rm", "--force", "--ignore", "--time=0", *containers)
        left = _containers(folder)
        return _SILENT if left is None else "it is still running" if left else None


def _containers(folder: str, *filters: str) -> list[str] | None:
    """Return the ids of an attempt's containers, running or not; None if Podman does not answer."""
    label = f"label={FOLDER_LABEL}={folder}"
    said = _ask("ps", "--all", "--quiet", "--no-trunc", "--filter", label, *filters)
    return None if said is None else said.split()


def _ask(*words: str, timeout_s: float = _PATIENCE_S) -> str | None:
    """Return Podman's output; "" if Podman is not installed, as no container runs then; None if it fails."""
    # Imported here, as the import costs every supervisor milliseconds and few need it.
    from subprocess import TimeoutExpired

    from launch.containers.programs import run_program

    try:
        asked = run_program([_PROGRAM, *words], timeout_s=timeout_s)
    except FileNotFoundError:
        return ""
    except (OSError, TimeoutExpired):
        return None
    return asked.stdout if asked.returncode == 0 else None


def _run_words(request: ContainerRequest) -> list[str]:
    """Return the first words of `podman run`: it never pulls an image, and executes the command as this user."""
    words = [_PROGRAM, "run", "--pull=never", "--image-volume=ignore", "--tz=local", f"--user={request.user}"]
    words += ["--init"] if any(map(os.path.exists, _INITS)) else []
    # Without root's rights this user is mapped to itself.
    return words if os.getuid() == 0 else [*words, "--userns=keep-id"]
