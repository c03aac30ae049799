import os
import signal
import threading

import pytest

from s5.lifeline import STOP_SIGNALS, Lifeline
from s5.result import LIFELINE_VARIABLE, Exit


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
    assert not os.get_inheritable(reading)
    os.close(writing)
    assert lifeline.wait(10.0)
