"""Turn SIGINT, SIGTERM and SIGHUP into events that a queue can wait for."""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType
from typing import Any

_STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StopSignals:
    """Counts signals that ask a queue to stop. A context manager: at its end the old handlers are restored.

    Attributes:
        fd: Readable when a signal has arrived.
        stops: How many such signals have arrived.
    """

    def __init__(self) -> None:
        self.stops = 0
        self.fd, self._write_fd = os.pipe()
        os.set_blocking(self.fd, False)
        os.set_blocking(self._write_fd, False)
        self._before: dict[int, Any] = {}
        self._wakeup = -1

    def __enter__(self) -> StopSignals:
        if threading.current_thread() is threading.main_thread():
            self._wakeup = signal.set_wakeup_fd(self._write_fd, warn_on_full_buffer=False)
            for number in _STOPS:
                if signal.getsignal(number) is not signal.SIG_IGN:  # a signal that nohup ignores stays ignored
                    self._before[number] = signal.signal(number, self._count)
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if self._before:
            signal.set_wakeup_fd(self._wakeup)
        os.close(self.fd)
        os.close(self._write_fd)

    def _count(self, _number: int, _frame: FrameType | None) -> None:
        self.stops += 1

    def drain(self) -> None:
        """Read and discard everything in `fd`, so that it is not readable any more."""
        try:
            while os.read(self.fd, 512):
                pass
        except BlockingIOError:
            pass
