import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from launch.actions.cancel import cancel
from launch.actions.drive import run_queue
from launch.cli import main
from launch.errors import ExitCode
from launch.specs.image import Image
from launch.store.attempts import attempt_numbers, attempt_path, read_attempt, write_record
from launch.store.liveness import is_locked
from launch.store.state import State
from launch.store.store import Store
from launch.supervise import container_session
from launch.supervise.outcome import Outcome
from tests.kill.harness import wait_until
from tests.launch.command_sweep import python, submitted
from tests.launch.supervised_run import RESULT, WAITING, WRITE, Case, until_ready

# Hears that it is to stop, and goes on until the test writes into its pipe.
DEAF = (
    "import os, signal; signal.signal(15, lambda *_: os.write(1, b'heard')); os.mkfifo('pipe');"
    "print('ready', flush=True); open('pipe').read()"
)


def test_of_two_supervisors_one_executes(tmp_path: Path) -> None:
    case = Case(tmp_path, python("print('ready', flush=True); import time; time.sleep(0.3)"))
    codes = [started.close()[0] for started in [case.start() for _ in range(4)]]
    assert codes.count(Outcome.DONE) >= 1
    assert set(codes) <= {Outcome.DONE, Outcome.BUSY}
    assert attempt_numbers(str(case.run_dir)) == [0]


def test_live_attempt_is_left_alone(tmp_path: Path) -> None:
    case = Case(tmp_path, python(WAITING))
    started = case.start()
    until_ready(case)
    assert case.supervise() == Outcome.BUSY
    started.send(signal.SIGTERM)
    assert started.close()[0] == Outcome.RETRY


@pytest.mark.parametrize("code", [WAITING, DEAF], ids=["listens", "deaf"])
def test_orphan_is_ended_in_good_order_before_the_next_attempt(tmp_path: Path, code: str) -> None:
    case = Case(tmp_path, python(code))
    started = case.start()
    until_ready(case)
    started.send(signal.SIGKILL)
    assert started.close()[0] == -signal.SIGKILL
    assert case.state is State.RUNNING, "what it started still works on the attempt"
    again = case.start()
    if code == DEAF:
        assert wait_until(lambda: "heard" in case.log(), 20)
        assert not case.path(1).exists()
        (case.path() / "pipe").write_text("")
    until_ready(case, 1)
    assert ("asked" in case.log()) == (code == WAITING)
    assert not is_locked(str(case.path(0)))
    again.send(signal.SIGQUIT)
    again.close()


@pytest.mark.parametrize("torn", [False, True], ids=["with its record", "with a torn record"])
def test_cancelling_ends_an_orphan(tmp_path: Path, torn: bool) -> None:
    case = Case(tmp_path, python("import time; print('ready', flush=True); time.sleep(60)"))
    started = case.start()
    until_ready(case)
    started.send(signal.SIGKILL)
    started.close()
    if torn:
        (case.path() / "attempt.json").write_text('{"attempt"')
    assert case.state is State.RUNNING
    (view,) = cancel(case.store, ["work"]).views
    assert view.attempts == 1
    assert wait_until(lambda: case.state is State.CANCELLED, 20)
    assert not is_locked(str(case.path()))


def test_result_of_an_orphan_is_adopted(tmp_path: Path) -> None:
    code = RESULT + "print('ready', flush=True); signal = __import__('signal'); signal.pthread_sigmask(0, {15});"
    case = Case(tmp_path, python(code + "signal.sigwait({15}); " + WRITE))
    started = case.start()
    until_ready(case)
    started.send(signal.SIGKILL)
    started.close()
    assert case.supervise() == Outcome.DONE
    assert attempt_numbers(str(case.run_dir)) == [0], "published, not executed again"
    assert (case.run_dir / "result.json").samefile(case.path() / "result.json")


def test_torn_record_of_a_dead_attempt_does_not_stand_in_the_way(tmp_path: Path) -> None:
    case = Case(tmp_path, python("import os; os._exit(int(os.environ['LAUNCH_ATTEMPT_DIR'][-1] == '0') * 75)"))
    assert case.supervise() == Outcome.RETRY
    (case.path() / "attempt.json").write_text('{"attempt"')
    assert case.supervise() == Outcome.DONE
    assert attempt_numbers(str(case.run_dir)) == [0, 1]


def test_attempt_on_another_machine_is_left_alone(tmp_path: Path) -> None:
    case = Case(tmp_path, python("import sys; sys.exit(75)"))
    assert case.supervise() == Outcome.RETRY
    away = replace(case.attempt(), host="elsewhere", boot_id="another", ended=None, reason=None)
    write_record(str(case.path()), away)
    assert case.supervise() == Outcome.BUSY
    for file in case.path().iterdir():
        os.utime(file, (1e9, 1e9))
    assert case.supervise() == Outcome.RETRY
    assert attempt_numbers(str(case.run_dir)) == [0, 1], "it has been silent for too long"


def test_all_that_an_engine_may_still_have_is_told_of_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of three lost runs each may have a container with an engine that is away: they are waited for together."""
    monkeypatch.setattr(container_session, "KILL_ORPHAN_S", 0.0)
    store = Store(tmp_path / "runs")
    views = run_queue(submitted(store, [python(f"raise SystemExit({number})") for number in (4, 5, 6)]))
    for view in views:
        path = attempt_path(view.run_dir, 0)
        image, engine = Image(name="x", reference="x"), f"unix://{tmp_path}/away.sock"
        record = replace(read_attempt(path), ended=None, reason=None, exit_code=None, message=None)
        write_record(path, replace(record, runtime="docker", image=image, engine=engine))
    assert {view.state for view in store.sweep("work").views()} == {State.LOST}
    assert main(["cancel", "work", "--runs", str(store.root)]) == ExitCode.UNREACHABLE
    said = capsys.readouterr().err
    assert said.count("cancelled") == 4, "a line for each, and their sum"
    assert "cannot be ended: no Docker engine answers at unix:" in said
    assert "; 2 more runs have the same problem" in said
