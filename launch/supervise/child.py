"""The command of an attempt as a child process: start it, forward signals, enforce its time limit, wait for it."""

from __future__ import annotations

import errno
import fcntl
import math
import os
import signal
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress

from launch.containers.runtimes import HostCommand
from launch.store import processes
from launch.store.attempts import LOG
from launch.store.liveness import is_locked
from launch.store.state import Reason
from s5.run_dir.orphan_grace import KILL_ORPHAN_S
from s5.run_dir.result import ATTEMPT_DIR_VARIABLE, Exit

# The signals that ask the command to stop; schedulers send the last two.
STOP = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR2, signal.SIGHUP)
KILL = signal.SIGQUIT
FORWARDED_SIGNALS = frozenset((*STOP, KILL, signal.SIGCHLD))

# A shell, nohup or this interpreter may ignore these signals; the command gets their default handlers.
_DEFAULTS = frozenset((*FORWARDED_SIGNALS, signal.SIGPIPE, signal.SIGXFSZ, signal.SIGALRM, signal.SIGUSR1))

_ORPHAN_POLL_S = 0.1

# A scheduler that sends a signal to every process of a job may end the command before this process has the signal.
_REQUEST_DELAY_S = 1.0

# The exit code of a shell whose command a signal has ended is this plus the number of the signal.
_BY_SIGNAL = 128

# The first descriptor after stdin, stdout and stderr.
_FIRST = 3


# What a machine lacks for a moment, whichever command it is to start.
_LACKS = frozenset(
    (errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ESTALE)
)
# How long to wait before each further try to start a command on a machine that lacks something.
_PAUSES_S = (0.1, 0.2, 0.4, 0.8, 1.6, 3.2)


class NotStarted(Exception):
    """The command cannot be executed.

    Args:
        words: What was to be started, and why it was not.
        by_machine: Whether the machine lacked something, so that the command may be started later.
    """

    def __init__(self, words: str, *, by_machine: bool = False) -> None:
        super().__init__(words)
        self.by_machine = by_machine


class Child:
    """A running command.

    Args:
        pid: Its pid, which is also the number of its process group.
        stop: The signal that asks it to stop.

    Attributes:
        asked: Why it was asked to stop; None if it was not asked.
        killed: Whether it was killed without time to stop, or after that time.
        overdue_s: The seconds after which it was killed because it did not stop when it was asked; None if it did stop.
    """

    def __init__(self, pid: int, stop: int = signal.SIGTERM) -> None:
        self.asked: Reason | None = None
        self.killed = False
        self.overdue_s: float | None = None
        self._pid = pid
        self._stop = stop

    @classmethod
    def start(cls, call: HostCommand, folder: str, inherited: Iterable[int], *, stop: int = signal.SIGTERM) -> Child:
        """Start a command in its own process group.

        Args:
            call: The command and its environment.
            folder: The folder in which it starts and in which its log is written.
            inherited: Descriptors that it inherits.
            stop: The signal that asks it to stop.

        Raises:
            NotStarted: If the command cannot be executed.
            OSError: If the log cannot be written.
        """
        handed = list(inherited)
        # First copied to high numbers: a descriptor could already have the number that another one must get.
        away = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _FIRST + len(handed)) for fd in handed] if call.renumbers else []
        for fd in handed:
            os.set_inheritable(fd, not call.renumbers)
        os.chdir(folder)
        log = os.open(LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
        try:
            pid = _spawn_with_patience(call, log, away)
        except OSError as error:
            words = f"{call.command[0]}: {os.strerror(error.errno or 0)}"
            raise NotStarted(words, by_machine=error.errno in _LACKS) from error
        finally:
            for fd in (log, *away):
                os.close(fd)
        return cls(pid, stop)

    def wait(
        self,
        limits: Callable[[], tuple[float, float]],
        stopped: Callable[[], Reason],
        grace_s: Callable[[Reason], float] = lambda _: math.inf,
    ) -> int:
        """Wait until the command ends; forward signals and enforce the limits.

        Args:
            limits: Computes two times of the monotonic clock: when to ask the command to stop, and when to kill it.
                It is called again at the first of these times: a scheduler may have extended the limit.
            stopped: Returns the reason for a request to stop; called after the request was forwarded.
            grace_s: Returns how many seconds after a request for this reason a command that still runs is killed.

        Returns:
            The exit code; if a signal ended the command, minus the number of the signal.
        """
        ask_at, kill_at = limits()
        grace, overdue_at = math.inf, math.inf
        while os.waitid(os.P_PID, self._pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            received = _wait_for_signal(min(ask_at, kill_at, overdue_at) - time.monotonic())
            if received in STOP:
                if self.asked is None:
                    grace = grace_s(self._ask(stopped))
                    overdue_at = time.monotonic() + grace
            elif received == KILL:
                self.killed = True
                self._kill_group()
                self.asked = self.asked or stopped()
            elif time.monotonic() >= overdue_at:
                overdue_at, self.overdue_s, self.killed = math.inf, grace, True
                self._kill_group()
            elif time.monotonic() >= kill_at:
                kill_at, self.killed = math.inf, True
                self.asked = self.asked or Reason.TIMEOUT
                self._kill_group()
            elif time.monotonic() >= ask_at:
                ask_at, kill_at = limits()
                if time.monotonic() >= ask_at:
                    ask_at = math.inf
                    if self.asked is None:
                        self._ask(lambda: Reason.TIMEOUT)
        # The command is not reaped yet, so its pid still names its group: kill processes that it left behind.
        self._kill_group()
        code = os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])
        if self.asked is None and code:
            received = signal.sigtimedwait((*STOP, KILL), _REQUEST_DELAY_S if was_stopped(code) else 0)
            if received is not None:
                self.killed = received.si_signo == KILL
                self.asked = stopped()
        return code

    def _ask(self, why: Callable[[], Reason]) -> Reason:
        """Ask the command to stop, and return why. Called once: a second signal may end the command too early."""
        with suppress(ProcessLookupError):
            os.kill(self._pid, self._stop)
        self.asked = why()
        return self.asked

    def _kill_group(self) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._pid, signal.SIGKILL)


def _spawn_with_patience(call: HostCommand, log: int, away: Sequence[int]) -> int:
    """Start a command and return its pid; try again for some seconds if the machine lacks something.

    Raises:
        OSError: If it cannot be started.
    """
    for pause_s in _PAUSES_S:
        try:
            return _spawn(call, log, away)
        except OSError as error:
            if error.errno not in _LACKS or signal.sigpending() & {*STOP, KILL}:
                raise
        time.sleep(pause_s)
    return _spawn(call, log, away)


def _spawn(call: HostCommand, log: int, away: Sequence[int]) -> int:
    return os.posix_spawnp(
        call.command[0],
        call.command,
        call.environment,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_DUP2, log, 1),
            (os.POSIX_SPAWN_DUP2, log, 2),
            *((os.POSIX_SPAWN_DUP2, fd, _FIRST + place) for place, fd in enumerate(away)),
        ],
        setpgroup=0,
        setsigmask=(),
        setsigdef=_DEFAULTS,
    )


def was_stopped(code: int) -> bool:
    """Return whether another process may have stopped a command with this exit code; negative for a signal."""
    return code == Exit.STOPPED or {-code, code - _BY_SIGNAL} & {*STOP, KILL, signal.SIGKILL} != set()


def _wait_for_signal(timeout_s: float) -> int | None:
    """Wait for one of the forwarded signals; return it, or None when the time is up."""
    if math.isinf(timeout_s):
        return signal.sigwait(FORWARDED_SIGNALS)
    info = signal.sigtimedwait(FORWARDED_SIGNALS, max(0.0, timeout_s))
    return None if info is None else info.si_signo


def end_orphan(path: str) -> bool:
    """End the processes of an attempt whose supervisor has died: SIGTERM, time for a checkpoint, then SIGKILL.

    Args:
        path: The attempt's folder.

    Returns:
        Whether no process works on the attempt any more. False if one does not end, or this process is asked to stop.
    """
    started = time.monotonic()
    left: list[int] = []
    try:
        while is_locked(path) and not signal.sigpending() & {*STOP, KILL}:
            waited_s = time.monotonic() - started
            if waited_s > 2 * KILL_ORPHAN_S:
                break
            if not left:  # look again: a process may have been about to start when the supervisor died
                left = processes.find_by_environment(ATTEMPT_DIR_VARIABLE, path)
                for fd in left:
                    processes.send(fd, signal.SIGTERM)
            for fd in left if waited_s > KILL_ORPHAN_S else ():
                processes.send(fd, signal.SIGKILL)
            processes.wait_any(left, _ORPHAN_POLL_S)
            left = processes.without_ended(left)
    finally:
        for fd in left:
            os.close(fd)
    return not is_locked(path)
