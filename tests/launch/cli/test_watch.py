import os
import pty
import select
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

from launch.store.state import State
from tests.launch.made_sweep import Made, make_sweep

# Executes a command with the terminal on its standard input as its own, so that Ctrl-C reaches it.
OWN_TERMINAL = "import os, sys; os.close(os.open(os.ttyname(0), os.O_RDWR)); os.execv(sys.argv[1], sys.argv[1:])"
LIVE = Made(state=State.RUNNING, settings={"optim.lr": 0.25})


def read_until(fd: int, words: bytes, seconds: float = 20.0) -> bytes:
    found, deadline = b"", time.monotonic() + seconds
    while words not in found and time.monotonic() < deadline:
        if select.select([fd], [], [], 0.2)[0]:
            try:
                found += os.read(fd, 65536)
            except OSError:
                break
    assert words in found, found
    return found


@pytest.mark.parametrize("key", [b"q", b"\x03"])
def test_a_key_ends_the_display_and_the_terminal_is_as_before(runs: Path, key: bytes) -> None:
    make_sweep(runs, "one", [LIVE])
    make_sweep(runs, "two", [LIVE])
    terminal, inner = pty.openpty()
    before = termios.tcgetattr(inner)[:4]
    command = [sys.executable, "-c", OWN_TERMINAL, sys.executable, "-m", "launch.cli", "watch", "one", "two"]
    process = subprocess.Popen(
        command,
        stdin=inner,
        stdout=inner,
        stderr=inner,
        start_new_session=True,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "80", "LINES": "24"},
    )
    try:
        drawn = read_until(terminal, b"q: stop watching")
        assert b"2 sweeps" in drawn
        assert b"25 %" in drawn
        assert termios.tcgetattr(inner)[3] & termios.ECHO == 0
        os.write(terminal, key)
        read_until(terminal, b"stopped watching; the runs go on")
        assert process.wait(20) == 0
        assert termios.tcgetattr(inner)[:4] == before
    finally:
        process.kill()
        os.close(terminal)
        os.close(inner)
