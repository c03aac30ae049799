"""What the local backend starts: one pure function builds the request, another sends it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from launch.self_command import python_command
from launch.store import processes
from launch.supervise.arguments import SupervisorArgs
from s5.run_dir.result import CWD_VARIABLE


class StartRequest(NamedTuple):
    """A supervisor that is to be started."""

    command: tuple[str, ...]
    environment: Mapping[str, str]
    hold: tuple[int, ...]  # descriptors that it inherits


def build_request(arguments: SupervisorArgs, environment: Mapping[str, str], cwd: str) -> StartRequest:
    """Return what to start. Pure.

    Args:
        arguments: What the supervisor is to do.
        environment: The environment that runs are to have.
        cwd: Where the user typed the command: what relative paths in a config are meant from.
    """
    return StartRequest(
        command=tuple(python_command("launch.supervise.supervisor", arguments.to_words(), site=False)),
        environment={CWD_VARIABLE: cwd, **environment},
        hold=arguments.hold,
    )


@dataclass(kw_only=True)
class StartedSupervisor:
    """A supervisor that was started."""

    process: subprocess.Popen[bytes]
    fd: int  # its descriptor, readable once it has ended
    words: int  # a file in memory with what it said on stderr

    def close(self) -> tuple[int, str]:
        """Reap the process that has ended; return its exit code (negative: a signal) and what it said."""
        code = self.process.wait()
        os.close(self.fd)
        size = os.fstat(self.words).st_size
        said = os.pread(self.words, size, 0).decode(errors="replace")
        os.close(self.words)
        return code, said.strip()

    def send(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        processes.send(self.fd, number)


def send_request(request: StartRequest) -> StartedSupervisor:
    """Start a supervisor, in a session of its own: a signal from the terminal does not reach it.

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
