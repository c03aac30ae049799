"""Let a process remove its temporary files before a signal ends it."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType

_REQUESTS = (signal.SIGTERM, signal.SIGHUP)


class _StopRequested(BaseException):
    """Raised in the `with` block when a signal asks the process to stop."""


@contextmanager
def cleanup_on_signal() -> Generator[None]:
    """Raise in the `with` block if a signal asks the process to stop; after the cleanup, let the signal end it.

    A second signal during the cleanup is ignored. Signals that are handled or ignored already are left alone.
    """
    heard: list[int] = []

    def stop(number: int, _: FrameType | None) -> None:
        heard.append(number)
        for each in ours:
            signal.signal(each, signal.SIG_IGN)
        raise _StopRequested

    own = threading.current_thread() is threading.main_thread()
    ours = [number for number in _REQUESTS if own and signal.getsignal(number) is signal.SIG_DFL]
    for number in ours:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)
        if heard:
            os.kill(os.getpid(), heard[0])
