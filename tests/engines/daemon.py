"""A daemon of an engine: started in its own session, and ended by the pid that was stored at its start."""

import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from launch.store import processes
from tests.engines.packages import find

END_S = 20  # how long a daemon may take to end in good order


class EngineError(Exception):
    """An engine does not start; the message contains the last lines of its logs."""


class Daemon:
    """One daemon, known by a file with its pid and its start time: any process that finds the file can end it.

    Args:
        name: Its name; its output goes to `<folder>/log/<name>.out`.
        folder: The engine's folder.
    """

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self._log = folder / "log" / f"{name}.out"
        self._note = folder / "run" / f"{name}.pid"

    @property
    def pid(self) -> int | None:
        """Its pid; None if it does not run."""
        try:
            pid, start = map(int, self._note.read_text().split())
        except (OSError, ValueError):
            return None
        with suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)  # if this process started it, no other reaps it
        return pid if processes.is_alive(pid, start) else None

    def start(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        """Start it, unless it runs."""
        if self.pid is not None:
            return
        program = find(command[0])
        if program is None:
            raise EngineError(f"{command[0]} is not installed")
        output = (os.POSIX_SPAWN_OPEN, 1, str(self._log), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        pid = os.posix_spawn(
            program,
            command,
            {**os.environ, **environment},
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                output,
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ],
            setsid=True,
            setsigmask=(),
            setsigdef=(signal.SIGINT, signal.SIGPIPE, signal.SIGXFSZ),
        )
        self._note.write_text(f"{pid} {processes.start_time(pid)}\n")

    def kill(self) -> None:
        """Kill it, as a failing machine does, and wait until it has ended."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Stop it; kill it if that takes too long."""
        if not self._end(signal.SIGTERM):
            self.kill()
        self._note.unlink(missing_ok=True)

    def _end(self, number: int) -> bool:
        pid = self.pid
        if pid is None:
            return True
        with suppress(ProcessLookupError):
            os.kill(pid, number)
        return wait_until(lambda: self.pid is None, END_S)


def wait_until(truth: Callable[[], object], timeout_s: float, poll_s: float = 0.01) -> bool:
    """Wait until a callable returns True or the time is over; return whether it did.

    For changes without an event that this process could wait for, such as in a scheduler's queue.
    """
    deadline = time.monotonic() + timeout_s
    while not truth():
        if time.monotonic() > deadline:
            return False
        time.sleep(poll_s)
    return True
