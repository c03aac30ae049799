"""The runtime Docker: a driver process asks the engine for a container, and ends when the container ends."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import asdict
from typing import final

from launch.containers.runtimes.base import REFUSED, UNREACHED, CommandCall, HostCommand, Runtime, RuntimeDiagnosis
from launch.containers.runtimes.docker_host import HOST_VARIABLE, docker_host
from launch.containers.runtimes.request import build_request, own_user, run_words
from launch.self_command import python_command
from launch.specs.environment import clean_environment
from launch.store.state import Reason

# The driver's messages that the supervisor recognizes at the end of an attempt's log.
SAYS = "docker: "
OUT_OF_MEMORY = "the kernel killed it for lack of memory"
GONE = "the engine went away"

_DRIVER = tuple(python_command("launch.containers.engine.docker_driver", [], site=True))
# The error of tini, the first process in the container, if it cannot execute the command.
_NOT_EXECUTED = re.compile(r"\[FATAL tini \(\d+\)\] exec (.+) failed: (.+)")
# The time that the engine itself may take, after `grace_s`.
_PATIENCE_S = 60.0


@final
class Docker(Runtime):
    """Runs commands in containers of the Docker engine."""

    def wrap(self, call: CommandCall, surroundings: Mapping[str, str]) -> HostCommand:
        """Return the driver's command line with the whole request, which contains no secrets."""
        request = build_request(call, surroundings, user=own_user(), lifeline=0)
        words = json.dumps(asdict(request), separators=(",", ":"))
        return HostCommand(command=(*_DRIVER, "run", words), environment={**surroundings, **call.variables})

    def shell(self, call: CommandCall, surroundings: Mapping[str, str], *, terminal: bool) -> HostCommand:
        """Return the command line of `docker run`."""
        request = build_request(call, surroundings, user=own_user(), lifeline=None)
        words = ["docker", "run", "--init", "--interactive", *(["--tty"] if terminal else []), f"--user={request.user}"]
        return HostCommand(command=(*words, *run_words(request, podman=False)), environment=surroundings)

    def diagnose(self, code: int, log: str) -> RuntimeDiagnosis | None:
        """Return the reason from the driver's last message if the engine or the kernel ended the attempt."""
        said = next((line for line in reversed(log.splitlines()) if line and not line.startswith("hint:")), "")
        if code == -9 and said.startswith(SAYS + OUT_OF_MEMORY):
            return RuntimeDiagnosis(reason=Reason.OUT_OF_MEMORY, message=said.removeprefix(SAYS))
        if code in (126, 127) and (found := _NOT_EXECUTED.search(said)):
            return RuntimeDiagnosis(reason=Reason.START, message=f"{found[1]}: {found[2]}")
        if code not in (REFUSED, UNREACHED) or not said.startswith(SAYS):
            return None
        gone = said.startswith(SAYS + GONE)
        return RuntimeDiagnosis(reason=Reason.KILLED if gone else Reason.START, message=said)

    def engine(self, surroundings: Mapping[str, str]) -> str:
        """Return the address of the Docker engine."""
        return docker_host(surroundings)

    def end(self, folder: str, *, grace_s: float = 0.0, engine: str | None = None) -> str | None:
        """End the containers of an attempt; return why a container may still be running, or None."""
        # Imported here, as the import costs every supervisor milliseconds and few need it.
        from subprocess import TimeoutExpired

        from launch.containers.programs import run_program

        words, most_s = [*_DRIVER, "end", folder, str(grace_s)], grace_s + _PATIENCE_S
        try:
            # DOCKER_HOST may have changed since the attempt started.
            other = {} if engine in (None, self.engine(os.environ)) else {HOST_VARIABLE: engine}
            ended = run_program(words, timeout_s=most_s, environment={**clean_environment(os.environ), **other})
        except TimeoutExpired:
            return f"the engine has not ended it within {most_s:g} s"
        except OSError as error:
            return f"{words[0]}: {error.strerror}"
        if ended.returncode == 0:
            return None
        return next(
            (line.removeprefix(SAYS) for line in ended.stderr.splitlines() if line.startswith(SAYS)),
            "it is still running",
        )
