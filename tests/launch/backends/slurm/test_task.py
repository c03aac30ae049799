"""A task of an array on its node: its time limit, its signals, and whether it is started again."""

import math
import os
import re
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from launch.backends.slurm import task as task_module
from launch.backends.slurm.arrays import ArrayRecord, ArrayTask, record_job, record_left_queue, write_array
from launch.backends.slurm.srun import srun_call
from launch.backends.slurm.task import SlurmTask, execute
from launch.containers.runtimes import HostCommand
from launch.errors import LaunchError
from launch.specs.resources import Resources
from launch.store.state import Reason
from launch.store.store import SweepStore
from launch.supervise.outcome import Outcome
from tests.launch.stored_runs import HEADER, RECORD, entries_of, plan_of

ENVIRONMENT = {"SLURM_ARRAY_TASK_ID": "1", "SLURM_ARRAY_JOB_ID": "12", "SLURMD_NODENAME": "n3"}


def record(**more: Any) -> ArrayRecord:
    tasks = tuple(ArrayTask(run_id=f"r{n}", generation=1) for n in range(2))
    known = {"uuid": "0123456789abcdef", "name": "x.0123456789abcdef", "generation": 1, "profile": "big"}
    known |= {"resources": Resources(timeout_min=60), "tasks": tasks, "throttle": None}
    return ArrayRecord(**(known | {"signal_delay_s": 120.0, "created": 1.0} | more))


@pytest.fixture
def clients(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return a function that makes a client command print something; what was asked lies in `asked`."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")

    def client(name: str, says: str = "", code: int = 0, error: str = "") -> None:
        script = folder / name
        script.write_text(
            f"#!/bin/sh\necho {name} $@ >> {tmp_path}/asked\necho '{says}'\necho '{error}' >&2\nexit {code}\n"
        )
        script.chmod(0o755)

    return client


def asked(folder: Path) -> list[str]:
    return (folder / "asked").read_text().splitlines() if (folder / "asked").exists() else []


def make(tmp_path: Path, environment: Any = None, **more: Any) -> SlurmTask:
    return SlurmTask(record(**more), str(tmp_path), ENVIRONMENT | (environment or {}))


def in_slurms_words(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(time.time() + seconds))


def in_seconds(moment: float) -> float:
    return moment - time.monotonic()


def test_it_is_known_by_its_array(tmp_path: Path) -> None:
    task = make(tmp_path, {"SLURM_RESTART_COUNT": "2", "SLURM_JOB_ID": "12"})
    assert (task.job_id, task.node, task.restarts) == ("12_1", "n3", 2)


def test_the_end_is_slurms_where_it_says_so(tmp_path: Path, clients: Callable[..., None]) -> None:
    limits = make(tmp_path, {"SLURM_JOB_END_TIME": str(int(time.time()) + 1000)}).limits(60)
    ask, kill = limits()
    assert 870 < in_seconds(ask) < 890
    assert 985 < in_seconds(kill) < 1000
    assert asked(tmp_path) == []
    clients("squeue", in_slurms_words(2000))  # an administrator has moved it since
    assert 1870 < in_seconds(limits()[0]) < 1890


def test_the_end_is_asked_of_an_older_slurm_for_this_task_alone(tmp_path: Path, clients: Callable[..., None]) -> None:
    clients("squeue", in_slurms_words(500))
    limits = make(tmp_path).limits(60)
    assert 0 < in_seconds(limits()[0]) < 5  # not yet: a run that ends at once is not kept waiting
    assert asked(tmp_path) == []
    ask, _ = limits()
    assert 370 < in_seconds(ask) < 390
    assert asked(tmp_path) == ["squeue -h -j 12_1 -o %e"]


@pytest.mark.parametrize(("minutes", "least"), [(60, 3400), (None, math.inf)])
def test_without_an_answer_the_end_is_the_one_that_was_asked_for(
    tmp_path: Path, clients: Callable[..., None], minutes: int | None, least
) -> None:
    clients("squeue", "N/A")
    limits = make(tmp_path).limits(minutes)
    limits()
    ask, kill = limits()
    assert in_seconds(ask) >= least
    assert kill >= ask


@pytest.mark.parametrize(
    ("said", "left", "reason", "ending"),
    [
        ("JobState=RUNNING PreemptTime=None", 3000, Reason.PREEMPTED, False),
        ("JobState=RUNNING PreemptTime=None", 170, Reason.TIMEOUT, False),
        ("JobState=RUNNING PreemptTime=None EndTime=in 170 s", None, Reason.TIMEOUT, False),
        ("JobState=SIGNALING PreemptTime=2026-01-01T00:00:00", 30, Reason.PREEMPTED, False),
        ("JobState=COMPLETING PreemptTime=2026-01-01T00:00:00", 30, Reason.PREEMPTED, True),
        ("JobState=COMPLETING PreemptTime=None", 3000, Reason.INTERRUPTED, True),
        ("JobState=CANCELLED", 3000, Reason.INTERRUPTED, True),
        ("JobState=COMPLETING EndTime=in -1 s", None, Reason.INTERRUPTED, True),
        ("JobState=COMPLETING", -3, Reason.TIMEOUT, True),
        (None, 170, Reason.TIMEOUT, False),
        (None, 3000, Reason.PREEMPTED, False),
    ],
)
def test_what_a_signal_means(
    tmp_path: Path, clients: Callable[..., None], said: str | None, left: int | None, reason: Reason, ending: bool
) -> None:
    # A test's name holds no time of day: every worker must collect the same.
    says = re.sub(r"in (-?\d+) s", lambda match: in_slurms_words(int(match[1])), said or "")
    clients("scontrol", says, code=0 if said else 1)
    task = make(tmp_path, {} if left is None else {"SLURM_JOB_END_TIME": str(int(time.time()) + left)})
    assert task.stop_reason() is reason
    assert asked(tmp_path) == ["scontrol show job 12_1 -o"]
    task.leave(Outcome.RETRY, reason)
    assert asked(tmp_path)[1:] == ([] if ending else ["scontrol requeue 12_1"])


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("JobState=RUNNING PreemptTime=None", None),
        ("JobState=SIGNALING PreemptTime=2026-01-01T00:00:00", Reason.PREEMPTED),
        ("JobState=CANCELLED PreemptTime=None", Reason.INTERRUPTED),
        (None, None),
    ],
)
def test_whether_slurm_ends_the_job(
    tmp_path: Path, clients: Callable[..., None], said: str | None, reason: Reason | None
) -> None:
    clients("scontrol", said or "", code=0 if said else 1)
    assert make(tmp_path, {"SLURM_JOB_END_TIME": str(int(time.time()) + 20)}).ending_reason() is reason


@pytest.mark.parametrize(
    ("outcome", "reason", "more", "code", "requeued"),
    [
        (Outcome.DONE, Reason.SUCCESS, {}, 0, False),
        (Outcome.FAILED, Reason.CRASH, {}, 1, False),
        (Outcome.BUSY, None, {}, 0, False),
        (Outcome.RETRY, Reason.TIMEOUT, {}, 75, True),
        (Outcome.RETRY, Reason.TIMEOUT, {"requeue": False}, 75, False),
        (Outcome.RETRY, Reason.OUT_OF_MEMORY, {}, 75, True),
        (Outcome.RETRY, Reason.OUT_OF_MEMORY, {"resources": Resources(mem_gb=1, mem_growth=2)}, 75, False),
    ],
)
def test_who_is_started_again(
    tmp_path: Path,
    clients: Callable[..., None],
    outcome: Outcome,
    reason: Reason | None,
    more: dict[str, Any],
    code: int,
    requeued: bool,
) -> None:
    clients("scontrol")
    assert make(tmp_path, **more).leave(outcome, reason) == code
    assert asked(tmp_path) == (["scontrol requeue 12_1"] if requeued else [])


@pytest.mark.parametrize(
    ("outcome", "taken", "code"),
    [
        (Outcome.RETRY, (75,), 77),
        (Outcome.FAILED, (1, 75, 77), 78),
        (Outcome.FAILED, (75,), 1),
        (Outcome.DONE, (0,), 0),
    ],
)
def test_no_task_ends_with_a_code_after_which_its_cluster_starts_it_again(
    tmp_path: Path, clients: Callable[..., None], outcome: Outcome, taken: tuple[int, ...], code: int
) -> None:
    clients("scontrol")
    assert make(tmp_path, requeue=False, requeue_exits=taken).leave(outcome, Reason.CRASH) == code


def test_an_attempt_of_another_cluster_is_never_lost(tmp_path: Path, clients: Callable[..., None]) -> None:
    clients("squeue", "", 1, "slurm_load_jobs error: Invalid job id specified")
    write_array(str(tmp_path), record(uuid="a" * 16, cluster="b@ctl2:6817"), "")
    record_job(str(tmp_path), "a" * 16, "9")
    attempt = replace(RECORD, backend="slurm", job_id="9_0")
    assert not make(tmp_path, cluster="a@ctl1:6817").job_is_gone(attempt)
    assert make(tmp_path, cluster="b@ctl2:6817").job_is_gone(attempt)
    assert make(tmp_path, cluster="a@ctl1:6817").job_is_gone(replace(attempt, job_id="8_0"))


def test_a_requeue_is_asked_again_while_the_controller_is_away_and_not_where_it_is_refused(
    tmp_path: Path, clients: Callable[..., None], capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(task_module, "_REQUEUE_PAUSE_S", 0.01)
    monkeypatch.setattr(task_module, "_REQUEUE_PATIENCE_S", 0.5)
    clients("scontrol", code=1, error="slurm_requeue error: Unable to contact slurm controller (connect failure)")
    make(tmp_path).leave(Outcome.RETRY, Reason.TIMEOUT)
    while_away = len(asked(tmp_path))
    assert while_away > 1
    clients("scontrol", code=1, error="Requested operation is presently disabled")
    make(tmp_path).leave(Outcome.RETRY, Reason.TIMEOUT)
    assert len(asked(tmp_path)) == while_away + 1
    assert "the sweep's command, typed again, continues the run" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("outcome", "feeds", "left", "fed"),
    [
        (Outcome.DONE, True, 3, True),
        (Outcome.DONE, True, 0, False),
        (Outcome.DONE, False, 3, False),
        (Outcome.RETRY, True, 0, True),
    ],
)
def test_a_run_that_leaves_feeds_where_there_is_something_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, outcome: Outcome, feeds: bool, left: int, fed: bool
) -> None:
    calls: list[object] = []
    monkeypatch.setattr(SlurmTask, "_feed", lambda self, leaving: calls.append((self.sweep, leaving)))
    write_array(str(tmp_path), record(), "")
    record_left_queue(str(tmp_path), left)
    make(tmp_path, feeds=feeds, requeue=False).leave(outcome, Reason.TIMEOUT)
    assert calls == ([(str(tmp_path), "12_1")] if fed else [])


@pytest.mark.parametrize(("outcome", "fed"), [(Outcome.FAILED, True), (Outcome.DONE, False)])
def test_a_run_that_fails_feeds_where_others_wait_for_its_array(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, outcome: Outcome, fed: bool
) -> None:
    calls: list[object] = []
    monkeypatch.setattr(SlurmTask, "_feed", lambda self, leaving: calls.append(leaving))
    make(tmp_path, feeds=True).leave(outcome, Reason.CRASH)
    assert calls == []
    write_array(str(tmp_path), record(uuid="f" * 16, waits=("0123456789abcdef_1",)), "")
    make(tmp_path, feeds=True).leave(outcome, Reason.CRASH)
    assert calls == (["12_1"] if fed else [])


def test_a_task_whose_turn_has_not_come_leaves_without_an_attempt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(task_module, "_SEEN_S", 0.0)
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    first, other, own = (replace(entries_of([plan_of()])[0], run_id=name) for name in ("first", "other", "r1"))
    turned = [replace(first, provides=("a",)), replace(other, provides=("b",)), replace(own, requires=("a",))]
    SweepStore(tmp_path).state().freeze(HEADER, turned)
    write_array(str(tmp_path), record(waits=("f" * 16,)), "")
    assert execute(str(tmp_path / ".slurm" / "0123456789abcdef.json")) == Outcome.RETRY
    assert "r1 comes after first, which has not succeeded" in capfd.readouterr().err
    assert not (tmp_path / "r1").exists()
    (tmp_path / "first").mkdir()
    (tmp_path / "first" / "result.json").touch()
    assert make(tmp_path, waits=("f" * 16,)).unfinished_predecessor() is None


@pytest.mark.parametrize(
    ("job", "says", "code", "error", "lost"),
    [
        ("12_1", None, 0, "", True),  # its own number: an earlier start of this very task
        ("9_0", "", 0, "", True),
        ("9_0", "RUNNING", 0, "", False),
        ("9_0", "PENDING", 0, "", True),
        ("9_0", "", 1, "slurm_load_jobs error: Invalid job id specified", True),
        ("9_0", "", 1, "slurm_load_jobs error: Unable to contact slurm controller", False),
        (None, None, 0, "", False),
    ],
)
def test_an_attempt_of_another_node_is_lost_only_where_slurm_says_so(
    tmp_path: Path, clients: Callable[..., None], job: str | None, says: str | None, code: int, error: str, lost: bool
) -> None:
    if says is not None:
        clients("squeue", says, code, error)
    assert make(tmp_path).job_is_gone(replace(RECORD, backend="slurm", job_id=job)) is lost


def test_what_is_no_task_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("SLURM")]:
        monkeypatch.delenv(name)
    write_array(str(tmp_path), record(), "")
    with pytest.raises(LaunchError, match="SLURM_ARRAY_TASK_ID is not set"):
        execute(str(tmp_path / ".slurm" / "0123456789abcdef.json"))


def test_several_processes_are_one_step() -> None:
    call = HostCommand(command=("python", "-m", "s5"), environment={"A": "b", "LAUNCH_LIFELINE_FD": "7"})
    resources = Resources(nodes=2, tasks_per_node=4, cpus_per_task=3)
    step = srun_call(call, resources, {"SLURM_JOB_ID": "5000", "SLURM_RESTART_COUNT": "1"}, "n3")
    options = "--nodes=2 --ntasks=8 --ntasks-per-node=4 --cpus-per-task=3 --kill-on-bad-exit=0 --wait=60 --unbuffered"
    assert step.command == ("srun", *options.split(), "python", "-m", "s5")
    assert step.environment == {"A": "b", "JAX_NUM_PROCESSES": "8", "JAX_COORDINATOR_ADDRESS": "n3:62345"}
