import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from launch.containers.runtimes import CommandCall, find_runtime
from launch.errors import LaunchError
from launch.specs.resources import Resources
from launch.store.attempts import attempt_numbers
from launch.store.cancel_mark import write_cancelled
from launch.store.claims import Claim, claim_attempt
from launch.store.liveness import is_locked
from launch.store.processes import find_by_environment, wait_any
from launch.store.records import AttemptRecord
from launch.store.state import Reason, State
from launch.supervise.arguments import SupervisorArgs
from launch.supervise.child import Child
from launch.supervise.outcome import Outcome
from launch.supervise.supervisor import Supervisor
from s5.run_dir.result import CWD_VARIABLE, read_result
from tests.launch.command_sweep import python
from tests.launch.supervised_run import DEAF, RESULT, WAITING, WRITE, Case, until_ready


def test_result_is_published_and_the_attempt_recorded(tmp_path: Path) -> None:
    case = Case(tmp_path, python(RESULT + WRITE))
    assert case.supervise() == Outcome.DONE
    assert (read_result(case.run_dir) or {})["metrics"] == {"test/accuracy": 0.5}
    assert (case.run_dir / "result.json").samefile(case.path() / "result.json")
    record = case.attempt()
    assert (record.reason, record.exit_code, record.signal, record.retry) == (Reason.SUCCESS, 0, None, False)
    assert record.ended is not None and record.ended >= record.started
    assert not is_locked(str(case.path()))
    assert case.supervise() == Outcome.DONE
    assert attempt_numbers(str(case.run_dir)) == [0], "a run that is done is not executed again"


def test_command_that_leaves_no_result_has_succeeded_with_none(tmp_path: Path) -> None:
    case = Case(tmp_path, python("print('hello')"))
    assert case.supervise() == Outcome.DONE
    assert (read_result(case.run_dir) or {})["metrics"] == {}
    assert case.log() == "hello\n"
    assert sorted(p.name for p in case.path().iterdir()) == ["attempt.json", "lock", "log.txt", "result.json"]


SHOW = """
import json, os, sys
print(json.dumps({
    "environment": dict(os.environ), "cwd": os.getcwd(), "cores": sorted(os.sched_getaffinity(0)),
    "stdin": os.readlink("/proc/self/fd/0"), "group": os.getpgrp() == os.getpid(), "parent": os.getppid(),
    "blocked": [int(n) for n in __import__("signal").pthread_sigmask(0, [])], "path": sys.path[:2],
    "ignored": [n for n in (1, 2, 3, 13, 15) if __import__("signal").getsignal(n) == 1],
}))
"""


def test_command_finds_its_surroundings(tmp_path: Path) -> None:
    case = Case(tmp_path, (sys.executable, "-c", SHOW), resources=Resources(cpus_per_task=1))
    core = min(os.sched_getaffinity(0))
    assert case.supervise(order=replace(case.order, cores=(core,)), environment={"PYTHONPATH": "/own"}) == 0
    shown = json.loads(case.log())
    environment = shown["environment"]
    snapshot = case.store.root / ".snapshots" / (case.attempt().snapshot or "")
    assert snapshot.is_dir()
    assert environment["LAUNCH_RUN_DIR"] == str(case.run_dir)
    assert environment["LAUNCH_ATTEMPT_DIR"] == str(case.path())
    assert environment["PYTHONPATH"] == f"{snapshot}:/own"
    assert environment["PYTHONSAFEPATH"] == "1"
    assert environment[CWD_VARIABLE] == os.getcwd()
    assert {environment[n] for n in ("NPROC", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")} == {"1"}
    assert environment["CUDA_VISIBLE_DEVICES"] == ""
    assert (shown["cwd"], shown["cores"], shown["stdin"]) == (str(case.path()), [core], "/dev/null")
    assert shown["group"] and shown["parent"] == case.attempt().pid
    assert shown["path"][0] == str(snapshot), "the snapshot comes before the working folder and all else"
    assert shown["blocked"] == []
    assert 15 not in shown["ignored"]
    assert (case.attempt().threads, case.attempt().devices) == (1, (core,))


def test_run_on_gpus_sees_those_and_keeps_all_cores(tmp_path: Path) -> None:
    case = Case(tmp_path, (sys.executable, "-c", SHOW))
    assert case.supervise(order=replace(case.order, gpus=(2, 3))) == 0
    shown = json.loads(case.log())
    assert shown["environment"]["CUDA_VISIBLE_DEVICES"] == "2,3"
    assert shown["environment"]["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"
    assert set(shown["cores"]) == os.sched_getaffinity(0)
    assert (case.attempt().threads, case.attempt().devices) == (None, (2, 3))


def test_no_secret_is_recorded(tmp_path: Path) -> None:
    case = Case(tmp_path, python("pass"))
    assert case.supervise(environment={"WANDB_API_KEY": "very-secret"}) == 0
    assert all(b"very-secret" not in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


@pytest.mark.parametrize(
    ("code", "reason", "message"),
    [
        ("raise ValueError('too bad')", Reason.CRASH, "ValueError: too bad"),
        ("import sys; print('s5: no data'); sys.exit(2)", Reason.USER_ERROR, "s5: no data"),
        ("import sys; print('s5: nan'); sys.exit(3)", Reason.NAN, "s5: nan"),
        ("import sys; sys.exit(3)", Reason.CRASH, "exit code 3"),
        ("import sys; print('s5: too large'); sys.exit(4)", Reason.OUT_OF_MEMORY, "s5: too large"),
        ("raise MemoryError", Reason.OUT_OF_MEMORY, "MemoryError"),
        ("import os; os.kill(os.getpid(), 9)", Reason.KILLED, "killed by SIGKILL"),
        ("import os; os.abort()", Reason.CRASH, "SIGABRT"),
    ],
)
def test_end_is_classified(tmp_path: Path, code: str, reason: Reason, message: str) -> None:
    case = Case(tmp_path, python(code), retry={})
    assert case.supervise() == Outcome.FAILED
    assert (case.attempt().reason, case.attempt().message) == (reason, message)
    assert case.state is State.FAILED


def test_training_that_leaves_no_result_has_crashed(tmp_path: Path) -> None:
    case = Case(tmp_path, None)  # the snapshot's `s5` is empty
    assert case.supervise() == Outcome.FAILED
    assert case.attempt().command == (sys.executable, "-m", "s5", "train", str(case.run_dir))
    assert case.attempt().reason is Reason.CRASH
    assert "s5" in (case.attempt().message or "")


def test_command_that_cannot_be_started(tmp_path: Path) -> None:
    case = Case(tmp_path, ("no-such-program", "x"))
    assert case.supervise() == Outcome.FAILED
    assert case.attempt().reason is Reason.START
    assert case.attempt().message == "no-such-program: No such file or directory"


def test_interpreter_that_cannot_be_started_names_the_setting_of_the_profile(tmp_path: Path) -> None:
    case = Case(tmp_path, None)
    assert case.supervise(environment={"LAUNCH_PYTHON": "/nowhere/python"}) == Outcome.FAILED
    assert case.attempt().reason is Reason.START
    assert case.attempt().message == (
        "/nowhere/python: No such file or directory; `python:` of the profile local names it"
    )


def test_missing_snapshot_runs_no_other_code(tmp_path: Path) -> None:
    case = Case(tmp_path, python("print('ran')"))
    snapshot = case.store.sweep("work").state().manifest.headers[1].snapshot
    shutil.rmtree(case.store.root / ".snapshots" / (snapshot or ""))
    assert case.supervise(environment={"PYTHONPATH": str(tmp_path)}) == Outcome.FAILED
    assert case.attempt().reason is Reason.START
    assert (case.attempt().message or "").startswith(f"snapshot {snapshot} is missing")
    assert not (case.path() / "log.txt").exists()


def test_program_with_a_folder_is_meant_from_where_the_command_was_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "run.sh").write_text("#!/bin/sh\necho here\n")
    (tmp_path / "run.sh").chmod(0o755)
    monkeypatch.chdir(tmp_path)
    case = Case(tmp_path, ("./run.sh",))
    assert case.supervise() == Outcome.DONE
    assert case.log() == "here\n"


@pytest.mark.parametrize(("retry", "outcomes"), [(0, [1]), (1, [75, 1]), (2, [75, 75, 1])])
def test_policy_counts_attempts_of_a_reason(tmp_path: Path, retry: int, outcomes: list[int]) -> None:
    case = Case(tmp_path, python("import sys; print('s5: nan'); sys.exit(3)"), retry={"nan": retry})
    assert [case.supervise() for _ in outcomes] == outcomes
    assert [case.attempt(n).retry for n in range(len(outcomes))] == [code == 75 for code in outcomes]
    assert case.state is State.FAILED


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR2, signal.SIGHUP])
def test_request_to_stop_is_forwarded_once(tmp_path: Path, number: signal.Signals) -> None:
    case = Case(tmp_path, python(WAITING))
    started = case.start()
    until_ready(case)
    started.send(number)
    started.send(number)
    assert started.close()[0] == Outcome.RETRY
    assert case.log() == "ready\nasked\n"
    assert (case.attempt().reason, case.attempt().exit_code) == (Reason.INTERRUPTED, 75)
    assert case.state is State.PREEMPTED


def test_command_that_does_not_listen_can_be_killed(tmp_path: Path) -> None:
    case = Case(tmp_path, python(DEAF))
    started = case.start()
    until_ready(case)
    started.send(signal.SIGTERM)
    assert not wait_any([started.fd], 0.2)
    started.send(signal.SIGQUIT)
    assert started.close()[0] == Outcome.RETRY
    assert (case.attempt().reason, case.attempt().signal) == (Reason.INTERRUPTED, 9)


def test_helpers_of_a_command_end_with_it(tmp_path: Path) -> None:
    code = "import os, time; os.fork() or time.sleep(60)"
    case = Case(tmp_path, python(code))
    assert case.supervise() == Outcome.DONE
    assert not is_locked(str(case.path()))


@pytest.mark.parametrize(
    ("code", "outcome", "exit_code", "number"),
    [(WAITING, Outcome.RETRY, 75, None), (DEAF, Outcome.FAILED, None, 9)],
    ids=["with a checkpoint", "killed at the limit"],
)
def test_time_limit(tmp_path: Path, code: str, outcome: Outcome, exit_code: int | None, number: int | None) -> None:
    limit_s = 1.0
    case = Case(tmp_path, python(code), resources=Resources(timeout_min=limit_s / 60))
    assert case.supervise(environment={"LAUNCH_GRACE_S": "0.4"}) == outcome
    record = case.attempt()
    assert (record.reason, record.exit_code, record.signal) == (Reason.TIMEOUT, exit_code, number)
    assert record.message == f"it reached timeout_min={limit_s / 60:g}"
    assert record.retry == (outcome == Outcome.RETRY)
    assert record.ended is not None and record.ended - record.started >= limit_s - 0.4


def test_timeout_without_a_new_checkpoint_is_final(tmp_path: Path) -> None:
    case = Case(tmp_path, python(WAITING), resources=Resources(timeout_min=0.01))
    quick = {"LAUNCH_GRACE_S": "0.1"}
    assert [case.supervise(environment=quick) for _ in range(2)] == [Outcome.RETRY, Outcome.FAILED]
    assert case.state is State.FAILED, "the second attempt reached no later step than the first"


def test_cancelled_run_does_not_start(tmp_path: Path) -> None:
    case = Case(tmp_path, python("pass"))
    write_cancelled(str(case.run_dir), 1)
    assert case.supervise() == Outcome.FAILED
    assert attempt_numbers(str(case.run_dir)) == []
    assert case.supervise(order=replace(case.order, retried=2)) == Outcome.DONE, "a later retry sets the mark aside"


def test_run_that_is_cancelled_while_it_is_claimed_does_not_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = Case(tmp_path, python("pass"))
    claim = claim_attempt

    def claim_then_cancel(run_dir: str, attempt: int, record: AttemptRecord) -> Claim | None:
        claimed = claim(run_dir, attempt, record)
        write_cancelled(run_dir, 1)
        return claimed

    monkeypatch.setattr("launch.supervise.supervisor.claim_attempt", claim_then_cancel)
    monkeypatch.setattr(Child, "start", lambda *_: pytest.fail("a cancelled run was started"))
    assert Supervisor(case.order).run() == Outcome.FAILED
    assert case.attempt().reason is Reason.CANCELLED
    assert case.state is State.CANCELLED


def test_cancelled_while_it_runs(tmp_path: Path) -> None:
    case = Case(tmp_path, python(WAITING))
    started = case.start()
    until_ready(case)
    write_cancelled(str(case.run_dir), 1)
    started.send(signal.SIGTERM)
    assert started.close()[0] == Outcome.FAILED
    assert case.attempt().reason is Reason.CANCELLED
    assert case.state is State.CANCELLED


def test_result_in_another_format_fails_the_attempt_and_is_kept(tmp_path: Path) -> None:
    case = Case(tmp_path, python("open('result.json', 'w').write('[1]')"))
    assert case.supervise() == Outcome.FAILED
    assert "it has no numbers; a command writes numbers by name" in (case.attempt().message or "")
    assert (case.path() / "result.json.bad").read_text() == "[1]"
    assert not (case.run_dir / "result.json").exists()


@pytest.mark.parametrize("name", ["run.json", "manifest/0001.jsonl"])
def test_unreadable_file_is_named(tmp_path: Path, name: str) -> None:
    case = Case(tmp_path, python("pass"))
    file = case.run_dir / name if name == "run.json" else case.run_dir.parent / name
    file.write_text("{")
    assert case.supervise() == Outcome.STORE_ERROR
    assert str(file) in case.said


def test_path_with_the_separator_reaches_python(tmp_path: Path) -> None:
    root = tmp_path / "a:b"
    root.mkdir()
    case = Case(root, (sys.executable, "-c", SHOW))
    assert case.supervise() == Outcome.DONE
    assert json.loads(case.log())["path"][0] == str(case.store.root / ".snapshots" / (case.attempt().snapshot or ""))


def test_order_comes_back_from_its_words() -> None:
    order = SupervisorArgs(run_dir="/a b\n'c", generation=3, retried=2, cores=(0, 5), gpus=(1,), hold=(7, 8))
    assert SupervisorArgs.from_words(order.to_words()) == order
    for words in ([], ["/x"], ["/x", "--generation", "1", "--nonsense", "2"]):
        with pytest.raises(LaunchError, match="usage"):
            SupervisorArgs.from_words(words)


def test_module_can_be_called_by_name(tmp_path: Path) -> None:
    case = Case(tmp_path, python("pass"))
    words = [sys.executable, "-m", "launch.supervise", *case.order.to_words()]
    answer = subprocess.run(words, check=False, capture_output=True, text=True, cwd=Path(__file__).parents[3])
    assert (answer.returncode, answer.stderr) == (0, "")


def test_unknown_runtime_is_refused() -> None:
    with pytest.raises(LaunchError, match="unknown runtime 'podmam'; did you mean podman"):
        find_runtime("podmam")


def test_bare_runtime_leaves_the_command_and_the_path_alone_without_a_snapshot() -> None:
    call = CommandCall(command=("x",), variables={"A": "1"}, folder="/", snapshot=None, resources=Resources())
    wrapped = find_runtime("bare").wrap(call, {"PYTHONPATH": "/own", "B": "2"})
    assert wrapped.command == ("x",)
    assert wrapped.environment == {"A": "1", "B": "2", "PYTHONPATH": "/own", "PYTHONUNBUFFERED": "1"}


def test_nothing_that_tests_started_is_left(tmp_path: Path) -> None:
    assert find_by_environment("LAUNCH_SLOTS", os.environ["LAUNCH_SLOTS"]) == []
