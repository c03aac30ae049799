"""Start a supervisor on this machine: a pure function builds the request, another function executes it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from launch.self_command import python_command
from launch.specs.environment import clean_environment
from launch.store import processes
from launch.supervise.arguments import SupervisorArgs
from s5.run_dir.result import CWD_VARIABLE


class StartRequest(NamedTuple):
    """A supervisor that is to be started."""

    command: tuple[str, ...]
    environment: Mapping[str, str]
    hold: tuple[int, ...]  # the descriptors that it inherits


def build_request(arguments: SupervisorArgs, environment: Mapping[str, str], cwd: str) -> StartRequest:
    """Return the command and the environment of a supervisor. Pure.

    Args:
        arguments: The arguments of the supervisor.
        environment: The environment of the runs.
        cwd: The folder in which the user typed the command: relative paths in a config start there.
    """
    return StartRequest(
        command=tuple(python_command("launch.supervise.supervisor", arguments.to_words(), site=False)),
        environment={CWD_VARIABLE: cwd, **clean_environment(environment)},
        hold=arguments.hold,
    )


@dataclass(kw_only=True)
class StartedSupervisor:
    """A supervisor that was started."""

    process: subprocess.Popen[bytes]
    fd: int  # a descriptor of the process, readable once it has ended
    words: int  # the descriptor of a file in memory with its stderr

    def close(self) -> tuple[int, str]:
        """Reap the process, which has ended; return its exit code (negative: the signal) and its stderr."""
        code = self.process.wait()
        os.close(self.fd)
        size = os.fstat(self.words).st_size
        said = os.pread(self.words, size, 0).decode(errors="replace")
        os.close(self.words)
        return code, said.strip()

    def send(self, number: int) -> None:
        """Send a signal to the process, unless it has ended."""
        processes.send(self.fd, number)


def send_request(request: StartRequest) -> StartedSupervisor:
    """Start a supervisor in its own session, so that signals from the terminal do not reach it.

    Raises:
        OSError: If the machine has no room for another process.
    """
    words = os.memfd_create("supervisor-stderr")
    process = subprocess.Popen(
        request.command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=words,
        env=request.environment,
        pass_fds=request.hold,
        start_new_session=True,
    )
    return StartedSupervisor(process=process, fd=os.pidfd_open(process.pid), words=words)
