"""A command that does not end when it is asked is killed; a machine that cannot start a command fails no run."""

import errno
import itertools
import math
import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from launch.actions.cancel import cancel
from launch.containers.runtimes import HostCommand
from launch.store.cancel_mark import write_cancelled
from launch.store.claims import claim_attempt
from launch.store.liveness import is_locked
from launch.store.state import Reason, State
from launch.supervise.child import FORWARDED_SIGNALS, Child
from launch.supervise.outcome import Outcome
from launch.supervise.retry_policy import may_retry
from launch.supervise.supervisor import Supervisor
from tests.kill.harness import wait_until
from tests.launch.command_sweep import python
from tests.launch.records import attempt_record
from tests.launch.supervised_run import Case, until_ready

DEAF_TREE = (
    "import os, signal, time; signal.signal(15, signal.SIG_IGN); signal.signal(2, signal.SIG_IGN);"
    "os.fork(); print('ready', flush=True); time.sleep(60)"
)


@pytest.mark.parametrize("cancelled", [False, True])
def test_command_that_does_not_end_when_asked_is_killed_after_the_grace(tmp_path: Path, cancelled: bool) -> None:
    case = Case(tmp_path, python(DEAF_TREE))
    started = case.start(environment={"LAUNCH_GRACE_S": "0.4"})
    until_ready(case)
    if cancelled:
        write_cancelled(str(case.run_dir), 1)
    started.send(signal.SIGINT)
    assert started.close()[0] == (Outcome.FAILED if cancelled else Outcome.RETRY)
    record = case.attempt()
    assert (record.reason, record.signal) == (Reason.CANCELLED if cancelled else Reason.INTERRUPTED, 9)
    assert record.message == "it did not end within 0.4 s of the request, and was killed"
    assert case.state is (State.CANCELLED if cancelled else State.PREEMPTED)
    assert not is_locked(str(case.path())), "its children have ended too"


def _lacking(lack: int, times: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the machine lack something for the first `times` commands that are started."""
    spawn, calls = os.posix_spawnp, itertools.count()

    def start(*args: Any, **options: Any) -> int:
        if next(calls) < times:
            raise OSError(lack, os.strerror(lack))
        return spawn(*args, **options)

    monkeypatch.setattr("launch.supervise.child._PAUSES_S", (0.0, 0.0))
    monkeypatch.setattr(os, "posix_spawnp", start)


@pytest.fixture
def blocked() -> Iterator[None]:
    """Block the signals that a supervisor waits for, as in its own process."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, FORWARDED_SIGNALS)
    yield
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


@pytest.mark.usefixtures("blocked")
@pytest.mark.parametrize("lack", [errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENOSPC, errno.ESTALE])
def test_what_the_machine_lacks_is_not_the_fault_of_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lack: int
) -> None:
    case = Case(tmp_path, python("pass"))
    monkeypatch.chdir(tmp_path)  # the supervisor changes to the folder of the attempt
    _lacking(lack, 3, monkeypatch)
    assert Supervisor(case.order).run() == Outcome.RETRY
    record = case.attempt()
    assert (record.reason, record.retry) == (Reason.MACHINE, True)
    assert os.strerror(lack) in (record.message or "")
    assert case.state is State.PREEMPTED


@pytest.mark.usefixtures("blocked")
def test_command_is_tried_again_for_some_seconds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _lacking(errno.EAGAIN, 2, monkeypatch)
    call = HostCommand(command=("true",), environment=dict(os.environ))
    child = Child.start(call, str(tmp_path), ())
    assert child.wait(lambda: (math.inf, math.inf), lambda: Reason.INTERRUPTED) == 0


def test_run_that_its_machine_never_starts_waits_for_the_user(tmp_path: Path) -> None:
    run_dir = str(Case(tmp_path, python("pass")).run_dir)
    lack = attempt_record(reason=Reason.MACHINE, ended=2.0)
    allowed: list[bool] = []
    for number in range(11):
        claim = claim_attempt(run_dir, number, replace(lack, attempt=number))
        assert claim is not None
        os.close(claim.lock)
        allowed.append(may_retry({}, Reason.MACHINE, claim.path, since=0))
    assert allowed == [True] * 10 + [False]


def test_what_a_dead_supervisor_left_is_killed_by_a_cancel_after_the_grace(tmp_path: Path) -> None:
    case = Case(tmp_path, python(DEAF_TREE))
    supervisor = case.start()
    until_ready(case)
    supervisor.send(signal.SIGKILL)
    supervisor.close()
    assert [view.run_id for view in cancel(case.store, ["work"]).views] == [case.run_dir.name]
    assert case.state is State.RUNNING, "it has some time"
    mark = case.run_dir / "cancelled.json"
    os.utime(mark, (0, 0))
    cancel(case.store, ["work"])
    assert wait_until(lambda: not is_locked(str(case.path())), 10)
    assert case.state is State.CANCELLED
    assert mark.stat().st_mtime == 0, "the time of the first request"
