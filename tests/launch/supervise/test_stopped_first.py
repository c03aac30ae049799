"""Commands that another process has stopped before their supervisor was asked to."""

import signal
from pathlib import Path

import pytest

from launch.store.state import Reason
from launch.supervise.child import FORWARDED_SIGNALS
from launch.supervise.host import LocalHost
from launch.supervise.outcome import Outcome
from launch.supervise.supervisor import Supervisor
from tests.launch.command_sweep import python
from tests.launch.supervised_run import Case, until_ready


@pytest.mark.parametrize(
    "end", ["os.kill(os.getpid(), signal.SIGTERM)", "os.kill(os.getpid(), signal.SIGHUP)", "sys.exit(128 + 15)"]
)
def test_command_that_the_same_signal_has_ended_first_was_asked_to_stop(tmp_path: Path, end: str) -> None:
    """A scheduler, or a machine that shuts down, sends a signal to all processes, in any order."""
    case = Case(tmp_path, python(f"import os, signal, sys; print('ready', flush=True); {end}"), retry={"killed": 3})
    started = case.start()
    until_ready(case)
    started.send(signal.SIGTERM)
    assert started.close()[0] == Outcome.RETRY
    assert case.attempt().reason is Reason.INTERRUPTED
    assert not case.attempt().retry


@pytest.mark.parametrize(
    ("end", "reason", "expected"),
    [
        ("os.kill(os.getpid(), 9)", Reason.INTERRUPTED, Reason.INTERRUPTED),
        ("sys.exit(75)", Reason.TIMEOUT, Reason.TIMEOUT),
        ("os.kill(os.getpid(), 15)", None, Reason.KILLED),
        ("os.abort()", Reason.INTERRUPTED, Reason.CRASH),
        ("sys.exit('no luck')", Reason.INTERRUPTED, Reason.CRASH),
    ],
)
def test_scheduler_is_asked_whether_it_has_ended_a_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str, reason: Reason | None, expected: Reason
) -> None:
    case = Case(tmp_path, python(f"import os, sys; {end}"), retry={})
    monkeypatch.setattr(LocalHost, "ending_reason", lambda _: reason)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, FORWARDED_SIGNALS)  # as in a supervisor's own process
    try:
        Supervisor(case.order).run()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    assert case.attempt().reason is expected
