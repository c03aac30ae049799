import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from s5.process.shutdown import STOP_SIGNALS, Lifeline
from s5.run_dir.result import LIFELINE_VARIABLE, Exit


@pytest.mark.parametrize("number", STOP_SIGNALS, ids=lambda number: number.name)
def test_a_signal_asks_for_a_stop(number: signal.Signals) -> None:
    lifeline = Lifeline()
    assert not lifeline.stopping
    signal.raise_signal(number)
    assert lifeline.stopping
    assert lifeline.why == number.name


def test_the_first_reason_stays() -> None:
    lifeline = Lifeline()
    signal.raise_signal(signal.SIGTERM)
    signal.raise_signal(signal.SIGINT)
    assert lifeline.why == "SIGTERM"


# The handler runs between two instructions of anything, so of itself: here a second signal meets it at every line.
_IN_THE_HANDLER = """
import signal, sys
from s5.process.shutdown import Lifeline

met = 0

def at_every_line(frame, event, arg):
    global met
    if event == "line":
        sys.settrace(None)
        met += 1
        signal.raise_signal(signal.SIGINT)
        sys.settrace(at_every_line)
    return at_every_line

lifeline = Lifeline()
sys.settrace(at_every_line)
handler = signal.getsignal(signal.SIGTERM)
handler(signal.SIGTERM, None)
sys.settrace(None)
assert met and lifeline.stopping and lifeline.why == "SIGINT", (met, lifeline.why)
"""


def test_a_signal_inside_the_handler_of_another_blocks_nothing() -> None:
    subprocess.run([sys.executable, "-c", _IN_THE_HANDLER], check=True, timeout=30)


def test_a_signal_ends_the_wait_early() -> None:
    lifeline = Lifeline()
    threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGTERM)).start()
    began = time.monotonic()
    assert lifeline.wait(10.0)
    assert 0.05 < time.monotonic() - began < 5.0


def test_a_closed_pipe_asks_for_a_stop() -> None:
    reading, writing = os.pipe()
    lifeline = Lifeline(reading, cut=lambda code: None)
    assert not lifeline.stopping
    os.close(writing)
    assert lifeline.wait(10.0)
    assert "supervisor" in lifeline.why


def test_bytes_on_the_pipe_are_no_reason_to_stop() -> None:
    reading, writing = os.pipe()
    lifeline = Lifeline(reading, cut=lambda code: None)
    os.write(writing, b"alive")
    assert not lifeline.wait(0.05)
    os.close(writing)
    assert lifeline.wait(10.0)


def test_an_orphan_that_does_not_stop_is_cut_off(capsys: pytest.CaptureFixture[str]) -> None:
    reading, writing = os.pipe()
    codes: list[int] = []
    cut = threading.Event()
    Lifeline(reading, grace_s=0.0, cut=lambda code: (codes.append(code), cut.set()))
    os.close(writing)
    assert cut.wait(10)
    assert codes == [Exit.STOPPED]
    assert "cut off" in capsys.readouterr().err


def test_what_the_supervisor_hands_down_goes_no_further(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    os.set_inheritable(reading, True)
    monkeypatch.setenv(LIFELINE_VARIABLE, str(reading))
    lifeline = Lifeline.from_environment()
    lifeline._cut = lambda code: None  # or it ends the tests themselves, 25 s from now
    assert not os.get_inheritable(reading)
    os.close(writing)
    assert lifeline.wait(10.0)
