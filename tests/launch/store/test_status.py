import itertools
import os
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from launch.errors import LaunchError
from launch.store.attempts import ATTEMPT, write_record
from launch.store.cancel_mark import CANCELLED, write_cancelled
from launch.store.liveness import SILENT_S
from launch.store.locks import acquire
from launch.store.processes import host, start_time
from launch.store.queue_lock import lock_queue, read_queue_owner
from launch.store.records import AttemptRecord
from launch.store.scheduler_view import SchedulerView
from launch.store.state import Reason, State
from launch.store.status import RunFacts, derive_state
from launch.store.store import SweepStore
from launch.store.sweep_state import SweepState
from s5.run_dir.result import write_result
from tests.launch.records import Planned
from tests.launch.stored_runs import HEADER, RECORD, attempted, entries_of, listed, plan_of, tree, write_runs

ALL_FACTS = [
    RunFacts(
        published=published,
        cancelled=cancelled,
        retried=retried,
        fed=fed,
        attempted=attempted,
        alive=alive,
        ended=ended,
        reason=reason,
        retry=retry,
        generation=generation,
    )
    for published, fed, attempted, alive, ended, retry in itertools.product([False, True], repeat=6)
    for cancelled in (None, 1, 2)
    for retried in (0, 2)
    for generation in (1, 2)
    for reason in (None, *Reason)
]


def test_every_combination_of_facts_is_one_state() -> None:
    for facts in ALL_FACTS:
        state = derive_state(facts)
        assert isinstance(state, State), facts
        assert (state is State.SUCCEEDED) == facts.published, facts
        lives = facts.attempted and facts.alive and not facts.ended and not facts.published
        assert (state is State.RUNNING) == lives, facts
        if state is State.LOST:
            assert facts.attempted and not facts.alive and not facts.ended and not facts.fed, facts
        if state is State.FAILED:
            assert facts.ended and facts.generation >= facts.retried, facts
        if state in (State.PLANNED, State.PREEMPTED):
            assert not facts.fed, facts
        if state is State.PENDING:
            assert facts.fed, facts


def on_disk(sweep: SweepStore, plan: Planned, *, kind: str, result: bool, cancelled: bool) -> int | None:
    """Write one combination of files; return a descriptor to close."""
    run_dir = sweep.run_dir(plan.record.run_id)
    held = None
    if kind == "folder without attempts":
        (run_dir / "attempts").mkdir()
    elif kind != "none":
        end = {"ended": 2.0, "reason": Reason.CRASH} if "ended" in kind else {}
        path = attempted(sweep, plan, replace(RECORD, **end))  # type: ignore[arg-type]
        held = acquire(str(path / "lock")) if "held" in kind else None
        if "torn" in kind:
            (path / ATTEMPT).write_text('{"attempt": 0')
        elif "bare" in kind:
            (path / ATTEMPT).unlink()
    if result:
        write_result(run_dir, {})
    if cancelled:
        write_cancelled(str(run_dir), 1)
    return held


KINDS = ("none", "folder without attempts", "begun", "begun held", "ended", "ended held", "torn", "torn held", "bare")


def test_every_combination_of_files_is_one_state_and_asking_changes_nothing(sweep: SweepStore) -> None:
    combinations = list(itertools.product(KINDS, [False, True], [False, True]))
    plans = listed(sweep, len(combinations))
    held = [
        on_disk(sweep, plan, kind=kind, result=result, cancelled=cancelled)
        for plan, (kind, result, cancelled) in zip(plans, combinations, strict=True)
    ]
    before = tree(sweep.path)
    views = sweep.views()
    assert tree(sweep.path) == before
    for view, (kind, result, cancelled) in zip(views, combinations, strict=True):
        lives = "held" in kind and "ended" not in kind
        wanted = State.SUCCEEDED if result else State.RUNNING if lives else State.CANCELLED if cancelled else None
        if wanted is None:
            wanted = {"none": State.PLANNED, "folder without attempts": State.PLANNED}.get(
                kind, State.FAILED if "ended" in kind else State.LOST
            )
        assert view.state is wanted, (kind, result, cancelled)
        if "torn" in kind or "bare" in kind:
            assert str(Path(view.run_dir, "attempts", "0", ATTEMPT)) in (view.message or "")
    for fd in held:
        if fd is not None:
            os.close(fd)


def test_lost_needs_two_proofs(sweep: SweepStore) -> None:
    (plan,) = listed(sweep)
    path = attempted(sweep, plan)
    alive = replace(RECORD, pid=os.getpid(), pid_start=start_time(os.getpid()) or 0)

    def state(record: AttemptRecord) -> State:
        write_record(str(path), record)
        return sweep.state().view(plan.record.run_id).state

    assert state(RECORD) is State.LOST
    assert state(alive) is State.RUNNING, "the lock is free, and the process lives"
    assert state(replace(alive, pid_start=1)) is State.LOST, "the pid belongs to another process now"
    assert state(replace(alive, boot_id="before")) is State.LOST, "the machine has been started again"
    assert state(replace(RECORD, boot_id="there", host="elsewhere")) is State.RUNNING, "nothing is known from here"
    assert "it runs on elsewhere" in (sweep.state().view(plan.record.run_id).message or "")
    held = acquire(str(path / "lock"))
    assert held is not None
    assert state(RECORD) is State.RUNNING, "the process is gone, and the lock is held"
    os.close(held)


@pytest.mark.parametrize("sign", [ATTEMPT, "log.txt", "metrics.jsonl", "timing.jsonl", "checkpoints"])
def test_attempt_of_a_machine_that_is_gone_is_lost_once_it_is_silent(sweep: SweepStore, sign: str) -> None:
    (plan,) = listed(sweep)
    path = attempted(sweep, plan, replace(RECORD, boot_id="there", host="elsewhere"))
    (path / "checkpoints").mkdir()
    for name in ("log.txt", "metrics.jsonl", "timing.jsonl"):
        (path / name).touch()

    def state(silent_s: float) -> State:
        for file in path.iterdir():
            os.utime(file, (time.time() - 2 * SILENT_S,) * 2)
        os.utime(path / sign, (time.time() - silent_s,) * 2)
        before = tree(path)
        view = sweep.state().view(plan.record.run_id)
        assert tree(path) == before
        return view.state

    assert state(SILENT_S - 60) is State.RUNNING
    assert f"lost after {SILENT_S / 60:.0f} min without output" in (
        sweep.state().view(plan.record.run_id).message or ""
    )
    assert state(SILENT_S + 60) is State.LOST
    held = acquire(str(path / "lock"))
    assert held is not None
    assert state(SILENT_S + 60) is State.RUNNING, "silent, and the lock is held"
    os.close(held)
    write_record(str(path), replace(RECORD, boot_id="there", host="elsewhere", backend="slurm"))
    assert state(SILENT_S + 60) is State.RUNNING, "its scheduler knows"


def test_attempt_without_a_record_lives_while_a_process_carries_its_label(sweep: SweepStore) -> None:
    (plan,) = listed(sweep)
    path = attempted(sweep, plan)
    (path / ATTEMPT).unlink()
    process = subprocess.Popen(
        [sys.executable, "-S", "-c", "input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={"LAUNCH_ATTEMPT_DIR": str(path)},
    )
    assert sweep.state().view(plan.record.run_id).state is State.RUNNING
    process.kill()
    process.communicate()
    assert sweep.state().view(plan.record.run_id).state is State.LOST


def test_planned_becomes_pending_while_a_queue_feeds_it(sweep: SweepStore) -> None:
    plans = listed(sweep, 2)
    sweep.state().freeze(HEADER, entries_of(plans[:1]))
    assert {view.state for view in sweep.views()} == {State.PLANNED}
    fd = lock_queue(str(sweep.path), 2)
    assert [view.state for view in sweep.views()] == [State.PENDING, State.PLANNED]
    queue = read_queue_owner(str(sweep.path))
    assert queue is not None and (queue.pid, queue.host, queue.generation) == (os.getpid(), host(), 2)
    with pytest.raises(LaunchError, match=rf"being run by process {os.getpid()} on {host()}") as caught:
        lock_queue(str(sweep.path), 1)
    assert "launch watch a" in (caught.value.hint or "")
    (sweep.path / "queue.lock").write_text("garbage")
    assert {view.state for view in sweep.views()} == {State.PENDING}, "an unreadable note still is a living queue"
    os.close(fd)
    assert read_queue_owner(str(sweep.path)) is None


def test_retry_sets_failures_and_cancellations_aside(sweep: SweepStore) -> None:
    failed, cancelled = listed(sweep, 2)
    attempted(sweep, failed, replace(RECORD, ended=2.0, reason=Reason.CRASH, exit_code=1, message="oh"))
    write_cancelled(str(sweep.run_dir(cancelled.record.run_id)), 1)
    assert [view.state for view in sweep.views()] == [State.FAILED, State.CANCELLED]
    sweep.state().freeze(HEADER, entries_of([failed, cancelled]))
    assert [view.state for view in sweep.views()] == [State.FAILED, State.CANCELLED], "submitting again does not retry"
    sweep.state().freeze(replace(HEADER, why="retry"), entries_of([failed, cancelled]))
    assert [view.state for view in sweep.views()] == [State.PLANNED, State.PLANNED]
    assert sweep.state().view(failed.record.run_id).message == "oh"


@pytest.mark.parametrize(
    ("facts", "timing", "told"),
    [
        ({"reason": Reason.PREEMPTED, "exit_code": 75, "node": "n3"}, (40, 100), "stopped after step 40 of 100 on n3"),
        ({"reason": Reason.INTERRUPTED, "signal": 15}, (1200, 5000), "stopped after step 1,200 of 5,000"),
        ({"reason": Reason.INTERRUPTED, "exit_code": 143}, None, "ended with exit code 143"),
        ({"reason": Reason.PREEMPTED, "signal": 9, "node": "n3"}, None, "ended by signal 9 on n3"),
        ({"reason": Reason.TIMEOUT, "message": "it reached timeout_min=1"}, (4, 9), "it reached timeout_min=1"),
        ({"reason": Reason.TIMEOUT, "retry": True}, (4, 9), "stopped after step 4 of 9"),  # as older versions wrote it
    ],
)
def test_what_is_known_of_a_run_that_was_stopped_is_told(
    sweep: SweepStore, facts: dict, timing: tuple[int, int] | None, told: str
) -> None:
    (plan,) = listed(sweep)
    folder = attempted(sweep, plan, replace(RECORD, **{"ended": 2.0, "retry": True} | facts))
    if timing is not None:
        (folder / "timing.jsonl").write_text(f'{{"step": {timing[0]}, "of": {timing[1]}}}\n')
    (view,) = sweep.views()
    assert (view.state, view.message) == (State.PREEMPTED, told)
    queue = SchedulerView(tasks={plan.record.run_id: "Priority"}, taken=5.0)
    (view,) = SweepState.read(str(sweep.path), lambda _: queue).views()
    assert (view.state, view.message) == (State.PENDING, f"{told}; queued: Priority")


def test_unreadable_mark_of_a_cancellation_still_counts(sweep: SweepStore) -> None:
    (plan,) = listed(sweep)
    (sweep.run_dir(plan.record.run_id) / CANCELLED).write_text("")
    assert sweep.views()[0].state is State.CANCELLED


def test_missing_directory_is_named(sweep: SweepStore) -> None:
    (plan,) = listed(sweep)
    shutil.rmtree(sweep.run_dir(plan.record.run_id))
    (view,) = sweep.views()
    assert view.state is State.PLANNED
    assert "run.json: missing" in (view.message or "")


def test_unreadable_run_record_is_named(sweep: SweepStore) -> None:
    (plan,) = listed(sweep)
    file = sweep.run_dir(plan.record.run_id) / "run.json"
    file.write_text('{"run_id"')
    (view,) = sweep.views()
    assert (view.message or "").startswith(f"{file}: not JSON")
    write_runs(sweep, [plan])
    assert sweep.views()[0].message is None


def test_clock_that_went_back_changes_no_state(sweep: SweepStore) -> None:
    (plan,) = listed(sweep)
    attempted(sweep, plan, replace(RECORD, started=4e9, ended=1.0, reason=Reason.CRASH))
    (view,) = sweep.views()
    assert (view.state, view.started, view.ended) == (State.FAILED, 4e9, 1.0)


def test_progress_of_a_running_run_is_shown(sweep: SweepStore) -> None:
    (plan,) = listed(sweep)
    path = attempted(sweep, plan)
    (path / "timing.jsonl").write_text('{"step": 3, "of": 9}\n{"step": 4, "of"')
    held = acquire(str(path / "lock"))
    assert held is not None
    (view,) = sweep.views()
    assert (view.step, view.steps) == (3, 9)
    os.close(held)


def test_view_of_a_run_that_is_not_listed_yet(sweep: SweepStore) -> None:
    entry = entries_of([plan_of()])[0]
    view = sweep.state().with_entries([entry]).view(entry.run_id)
    assert (view.state, view.attempts) == (State.PLANNED, 0)


@pytest.mark.parametrize("kind", ["folder", "pipe", "link to nothing", "link to itself"])
def test_a_result_that_is_no_file_is_damage_and_no_success(sweep: SweepStore, kind: str) -> None:
    first, second = listed(sweep, 2)
    attempted(sweep, first, replace(RECORD, ended=1.0, reason=Reason.SUCCESS))
    file = sweep.run_dir(first.record.run_id) / "result.json"
    if kind == "folder":
        file.mkdir()
    elif kind == "pipe":
        os.mkfifo(file)
    else:
        file.symlink_to("result.json" if kind == "link to itself" else "nowhere")
    sweep.state().freeze(replace(HEADER, generation=2, why="retry"), entries_of([first]))
    damaged, other = sweep.views()
    assert damaged.state is State.FAILED
    assert damaged.message == f"{file}: damaged: not a file; move it away, then type the sweep's command again"
    assert other.state is State.PLANNED
    assert other.run_id == second.record.run_id
    file.rename(file.with_name("aside"))
    assert sweep.views()[0].state is State.PLANNED
    (sweep.path / "kept.json").write_text('{"version": 1, "metrics": {}}')
    file.symlink_to(sweep.path / "kept.json")
    assert sweep.views()[0].state is State.SUCCEEDED
