"""When a training process must stop: a signal asks it to, or the process that watches over it is gone.

The supervisor holds the writing end of a pipe and never writes. When it dies, however it dies, the kernel closes
that end and the reading end here reports the end of file: an orderly stop follows, as after a signal.
"""

import os
import signal
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from typing import final

from s5.errors import say
from s5.run_dir.result import SUPERVISOR_PIPE_VARIABLE, Exit

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR2)

# An orphan must be gone within 30 s. Where the orderly stop takes longer than this, the last checkpoint must do.
ORPHAN_GRACE_S = 25.0


class StopRequest(ABC):
    """Tells the training loop whether to stop."""

    @property
    @abstractmethod
    def stopping(self) -> bool:
        """Whether the run has been asked to stop."""

    @property
    @abstractmethod
    def reason(self) -> str:
        """Who asked, in words; empty before anyone did."""


@final
class LocalStopRequest(StopRequest):
    """A stop request to this process. Handles signals from its construction on.

    Args:
        fd: The reading end of the supervisor's pipe; None where there is no supervisor.
        grace_s: Seconds an orphan may take to stop before it is cut off.
        cut: What cuts it off; `os._exit`, or a test's own.
    """

    def __init__(
        self, fd: int | None = None, *, grace_s: float = ORPHAN_GRACE_S, cut: Callable[[int], object] = os._exit
    ) -> None:
        # The whole state, and no lock about it: a handler that takes one can meet itself holding it.
        self._reason = ""
        self._grace_s = grace_s
        self._cut = cut
        for number in STOP_SIGNALS:
            signal.signal(number, self._on_signal)
        if fd is not None:
            threading.Thread(target=self._watch, args=(fd,), name="supervisor-pipe", daemon=True).start()

    @classmethod
    def from_environment(cls) -> "LocalStopRequest":
        """Listen to the signals, and to the pipe that the environment names, if it names one."""
        _inherit_nothing()
        text = os.environ.get(SUPERVISOR_PIPE_VARIABLE)
        return cls(int(text) if text else None)

    @property
    def stopping(self) -> bool:
        """Whether the process has been asked to stop."""
        return bool(self._reason)

    @property
    def reason(self) -> str:
        """What asked it to, in words."""
        return self._reason

    def _on_signal(self, number: int, _frame: object) -> None:
        # Nothing may be written here: the signal can arrive in the middle of a write.
        self._reason = self._reason or signal.Signals(number).name

    def _watch(self, fd: int) -> None:
        while True:
            try:
                if os.read(fd, 64):
                    continue
            except InterruptedError:
                continue
            except OSError:  # no such pipe any more
                pass
            break
        self._reason = self._reason or "the supervisor is gone"
        timer = threading.Timer(self._grace_s, self._cut_off)
        timer.daemon = True
        timer.start()

    def _cut_off(self) -> None:
        with suppress(OSError, ValueError):  # nobody may be there to read it
            say(f"s5: the supervisor is gone and no orderly end was reached in {self._grace_s:g} s; cut off")
        self._cut(int(Exit.STOPPED))


def _inherit_nothing() -> None:
    """Keep what the supervisor handed down from going further.

    It hands down the attempt's lock, whose being held means that the attempt is worked on. A helper process
    of a library that outlived this one would go on holding it.
    """
    for name in os.listdir("/proc/self/fd") if os.path.isdir("/proc/self/fd") else ():
        try:
            if int(name) > 2:
                os.set_inheritable(int(name), False)
        except OSError:  # the listing's own descriptor
            continue
