"""Read single keys from the terminal while a display is drawn."""

from __future__ import annotations

import os
import select
import sys
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

_WAIT_S = 0.2


@contextmanager
def on_key(key: str, act: Callable[[], object]) -> Generator[None]:
    """Call `act` in another thread when the user presses a key, until the `with` block ends.

    Does nothing if stdin is not a terminal. Typed keys are not echoed meanwhile; Ctrl-C and Ctrl-Z work as always.
    """
    if not sys.stdin.isatty():
        yield
        return
    import termios
    import tty

    fd, ended = sys.stdin.fileno(), threading.Event()
    before = termios.tcgetattr(fd)
    thread = threading.Thread(target=_listen, args=(fd, key, act, ended), daemon=True)
    try:
        tty.setcbreak(fd, termios.TCSANOW)
        thread.start()
        yield
    finally:
        ended.set()
        with suppress(termios.error):
            termios.tcsetattr(fd, termios.TCSANOW, before)


def _listen(fd: int, key: str, act: Callable[[], object], ended: threading.Event) -> None:
    while not ended.is_set():
        try:
            ready, _, _ = select.select([fd], [], [], _WAIT_S)
            # A process in the background must not read: the terminal would stop it.
            if not ready or ended.is_set() or os.tcgetpgrp(fd) != os.getpgrp():
                continue
            typed = os.read(fd, 64)
        except OSError:
            return
        if key.encode() in typed:
            act()
            return
        if not typed:
            return
