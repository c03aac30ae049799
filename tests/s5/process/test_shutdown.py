import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from s5.process.shutdown import STOP_SIGNALS, LocalStopRequest
from s5.run_dir.result import SUPERVISOR_PIPE_VARIABLE, Exit


@pytest.mark.parametrize("number", STOP_SIGNALS, ids=lambda number: number.name)
def test_a_signal_asks_for_a_stop(number: signal.Signals) -> None:
    stop = LocalStopRequest()
    assert not stop.stopping
    signal.raise_signal(number)
    assert stop.stopping
    assert stop.reason == number.name


def test_the_first_reason_stays() -> None:
    stop = LocalStopRequest()
    signal.raise_signal(signal.SIGTERM)
    signal.raise_signal(signal.SIGINT)
    assert stop.reason == "SIGTERM"


# The handler runs between two instructions of anything, so of itself: here a second signal meets it at every line.
_IN_THE_HANDLER = """
import signal, sys
from s5.process.shutdown import LocalStopRequest

met = 0

def at_every_line(frame, event, arg):
    global met
    if event == "line":
        sys.settrace(None)
        met += 1
        signal.raise_signal(signal.SIGINT)
        sys.settrace(at_every_line)
    return at_every_line

stop = LocalStopRequest()
sys.settrace(at_every_line)
handler = signal.getsignal(signal.SIGTERM)
handler(signal.SIGTERM, None)
sys.settrace(None)
assert met and stop.stopping and stop.reason == "SIGINT", (met, stop.reason)
"""


def test_a_signal_inside_the_handler_of_another_blocks_nothing() -> None:
    subprocess.run([sys.executable, "-c", _IN_THE_HANDLER], check=True, timeout=30)


def stops_within(stop: LocalStopRequest, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not stop.stopping and time.monotonic() < deadline:
        time.sleep(0.01)
    return stop.stopping


def test_a_closed_pipe_asks_for_a_stop() -> None:
    reading, writing = os.pipe()
    stop = LocalStopRequest(reading, cut=lambda code: None)
    assert not stop.stopping
    os.close(writing)
    assert stops_within(stop, 10.0)
    assert "supervisor" in stop.reason


def test_bytes_on_the_pipe_are_no_reason_to_stop() -> None:
    reading, writing = os.pipe()
    stop = LocalStopRequest(reading, cut=lambda code: None)
    os.write(writing, b"alive")
    assert not stops_within(stop, 0.05)
    os.close(writing)
    assert stops_within(stop, 10.0)


def test_an_orphan_that_does_not_stop_is_cut_off(capsys: pytest.CaptureFixture[str]) -> None:
    reading, writing = os.pipe()
    codes: list[int] = []
    cut = threading.Event()
    LocalStopRequest(reading, grace_s=0.0, cut=lambda code: (codes.append(code), cut.set()))
    os.close(writing)
    assert cut.wait(10)
    assert codes == [Exit.STOPPED]
    assert "exiting now" in capsys.readouterr().err


def test_what_the_supervisor_hands_down_goes_no_further(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    os.set_inheritable(reading, True)
    monkeypatch.setenv(SUPERVISOR_PIPE_VARIABLE, str(reading))
    stop = LocalStopRequest.from_environment()
    stop._cut = lambda code: None  # or it ends the tests themselves, 25 s from now
    assert not os.get_inheritable(reading)
    os.close(writing)
    assert stops_within(stop, 10.0)


def test_a_process_that_ignores_hangups_goes_on_ignoring_them() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as `nohup` does
    stop = LocalStopRequest()
    signal.raise_signal(signal.SIGHUP)
    assert not stop.stopping
