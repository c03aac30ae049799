"""Requests to stop a training process: by a signal, or since its supervisor has ended.

The supervisor has the writing end of a pipe and never writes. However the supervisor ends, the kernel closes its end,
and this process reads the end of the file. The run then writes a checkpoint and stops, as after a signal.
"""

import os
import signal
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from typing import final

from s5.errors import say
from s5.run_dir.orphan_grace import TRAINING_EXITS_S
from s5.run_dir.result import SUPERVISOR_PIPE_VARIABLE, Exit

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR2, signal.SIGHUP)


class StopRequest(ABC):
    """A request to stop, which the training loop reads after each step."""

    @property
    @abstractmethod
    def stopping(self) -> bool:
        """Whether the run has been asked to stop."""

    @property
    @abstractmethod
    def reason(self) -> str:
        """The origin of the request, in words, such as a signal's name; empty before a request."""


@final
class LocalStopRequest(StopRequest):
    """A stop request to this process. The constructor installs the signal handlers.

    Args:
        fd: The reading end of the supervisor's pipe; None without a supervisor.
        grace_s: Seconds that the stop may take after the supervisor has ended.
        cut: The function that ends the process after `grace_s`; tests pass another function.
    """

    def __init__(
        self, fd: int | None = None, *, grace_s: float = TRAINING_EXITS_S, cut: Callable[[int], object] = os._exit
    ) -> None:
        # One attribute and no lock: another signal may interrupt the handler while it holds a lock.
        self._reason = ""
        self._grace_s = grace_s
        self._cut = cut
        for number in STOP_SIGNALS:
            # `nohup` has SIGHUP ignored, so that the process outlives its terminal.
            if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._on_signal)
        if fd is not None:
            threading.Thread(target=self._watch, args=(fd,), name="supervisor-pipe", daemon=True).start()

    @classmethod
    def from_environment(cls) -> "LocalStopRequest":
        """Listen for signals, and for the end of the supervisor's pipe if the environment names one."""
        _inherit_nothing()
        text = os.environ.get(SUPERVISOR_PIPE_VARIABLE)
        return cls(int(text) if text else None)

    @property
    def stopping(self) -> bool:
        """Whether this process has been asked to stop."""
        return bool(self._reason)

    @property
    def reason(self) -> str:
        """The origin of the request, in words, such as a signal's name; empty before a request."""
        return self._reason

    def _on_signal(self, number: int, _frame: object) -> None:
        # Do not write here: the signal may arrive in the middle of a write.
        self._reason = self._reason or signal.Signals(number).name

    def _watch(self, fd: int) -> None:
        while True:
            try:
                if os.read(fd, 64):
                    continue
            except InterruptedError:
                continue
            except OSError:  # the pipe no longer exists
                pass
            break
        self._reason = self._reason or "the supervisor is gone"
        timer = threading.Timer(self._grace_s, self._cut_off)
        timer.daemon = True
        timer.start()

    def _cut_off(self) -> None:
        with suppress(OSError, ValueError):  # stderr may be closed
            say(f"s5: the supervisor is gone, and the orderly stop took longer than {self._grace_s:g} s; exiting now")
        self._cut(int(Exit.STOPPED))


def _inherit_nothing() -> None:
    """Make the inherited descriptors of this process non-inheritable.

    One descriptor holds the attempt's lock, which means that the attempt is running. Otherwise a library's helper
    process that outlives this process would keep the lock.
    """
    for name in os.listdir("/proc/self/fd") if os.path.isdir("/proc/self/fd") else ():
        try:
            if int(name) > 2:
                os.set_inheritable(int(name), False)
        except OSError:  # the descriptor of the listing itself
            continue
