"""Hears SIGINT, SIGTERM and SIGHUP while a queue runs, as events among its others."""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType
from typing import Any

_STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StopSignals:
    """Counts requests to stop. A context manager: outside it the signals mean what they meant before.

    Attributes:
        fd: Readable when a signal has come.
        stops: How many requests to stop have come.
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
                if signal.getsignal(number) is not signal.SIG_IGN:  # nohup means it
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
        """Forget that `fd` was readable."""
        try:
            while os.read(self.fd, 512):
                pass
        except BlockingIOError:
            pass
