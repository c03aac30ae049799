"""A request to stop that comes while something lies about: it is cleared up, and then the process ends as asked."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType

_REQUESTS = (signal.SIGTERM, signal.SIGHUP)


class _StopRequested(BaseException):
    """Asked to stop."""


@contextmanager
def cleanup_on_signal() -> Generator[None]:
    """Have what is in here end by an exception where it is asked to stop; a second request is not heard meanwhile.

    Whoever listens to such requests already, or has set them aside, goes on doing so.
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
