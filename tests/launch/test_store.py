import errno
import itertools
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from launch import attempts, files
from launch.attempts import ATTEMPT, CANCELLED, attempt_path, write_cancelled
from launch.errors import LaunchError, StoreError
from launch.locks import acquire
from launch.manifest import Listed
from launch.processes import boot_id, host, start_time
from launch.records import AttemptRecord, ManifestEntry, ManifestHeader, Reason, RunRecord, State, to_json
from launch.resources import Resources
from launch.states import Facts, derive
from launch.store import Store, SweepStore
from s5.result import write_result

GONE = 4_000_000  # above the largest pid there can be


@dataclass(frozen=True)
class Plan:
    """A run to be stored."""

    record: RunRecord
    text: str = "model:\n  dropout: 0.0\nwandb:\n  mode: disabled\n"

    def config_text(self) -> str:
        return self.text


def plan_of(number: int = 0, **facts: object) -> Plan:
    known: dict[str, object] = {
        "run_id": f"digits-lr={number}-s0-{number:08x}",
        "experiment": "digits",
        "overrides": (f"optim.lr={number}",),
        "settings": {"optim.lr": number},
        "seed": 0,
        "science_version": 1,
        "science_hash": f"{number:064x}",
    }
    return Plan(RunRecord(**(known | facts)))  # type: ignore[arg-type]


def entries_of(plans: Sequence[Plan]) -> list[ManifestEntry]:
    return [
        ManifestEntry(
            run_id=plan.record.run_id,
            experiment=plan.record.experiment,
            settings=plan.record.settings,
            seed=plan.record.seed,
            resources=Resources(),
        )
        for plan in plans
    ]


HEADER = ManifestHeader(
    sweep="a",
    generation=0,
    why="submit",
    file=None,
    backend="local",
    profile="local",
    runtime="bare",
    snapshot=None,
    metric="test/accuracy",
    retry={},
    published=(),
    created=1.0,
)

RECORD = AttemptRecord(
    attempt=0,
    generation=1,
    backend="local",
    profile="local",
    runtime="bare",
    image=None,
    snapshot=None,
    resources=Resources(),
    command=("true",),
    threads=1,
    devices=(0,),
    host=host(),
    boot_id=boot_id(),
    pid=GONE,
    pid_start=1,
    job_id=None,
    started=1.0,
)


@pytest.fixture
def sweep(tmp_path: Path) -> SweepStore:
    return Store(tmp_path / "runs").sweep("a")


def listed(sweep: SweepStore, count: int = 1) -> list[Plan]:
    """Plan and freeze some runs."""
    plans = [plan_of(number) for number in range(count)]
    sweep.plan(plans)
    sweep.freeze(HEADER, entries_of(plans))
    return plans


def attempted(sweep: SweepStore, plan: Plan, record: AttemptRecord = RECORD) -> Path:
    """Put an attempt on the disk of which nobody holds the lock."""
    claim = attempts.claim(str(sweep.run_dir(plan.record.run_id)), record.attempt, record)
    assert claim is not None
    os.close(claim.lock)
    return Path(claim.path)


def tree(root: Path) -> dict[str, object]:
    """Return every path under a folder with its content and time."""
    return {
        str(path): (path.stat().st_mtime_ns, path.read_bytes() if path.is_file() else None) for path in root.rglob("*")
    }


def test_root_is_the_argument_else_the_variable_else_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert Store().root == tmp_path / "runs"
    monkeypatch.setenv("LAUNCH_RUNS", "elsewhere")
    assert Store().root == tmp_path / "elsewhere"
    assert Store(tmp_path / "x").root == tmp_path / "x"
    assert Store().sweeps() == []


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", ".hidden", "a b", "a\nb", "-x"])
def test_name_of_a_sweep_must_be_a_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(StoreError, match="cannot be the name of a sweep"):
        Store(tmp_path).sweep(name)


def test_planning_again_changes_nothing(sweep: SweepStore) -> None:
    plans = [plan_of(number) for number in range(5)]
    report = sweep.plan(plans)
    assert (len(report.created), report.existing) == (5, [])
    assert sorted(p.name for p in sweep.run_dir(plans[0].record.run_id).iterdir()) == ["config.yaml", "run.json"]
    before = tree(sweep.path)
    again = sweep.plan(plans)
    assert (again.created, len(again.existing), again.rewritten, again.moved) == ([], 5, [], [])
    assert tree(sweep.path) == before


def test_dry_plan_writes_nothing(sweep: SweepStore) -> None:
    assert len(sweep.plan([plan_of(1)], dry=True).created) == 1
    assert not sweep.path.exists()


def test_what_a_dead_planner_left_is_removed(sweep: SweepStore) -> None:
    listed(sweep)
    (sweep.path / f".new-{host()}-{GONE}-1").mkdir()
    mine = sweep.path / f".new-{host()}-{os.getpid()}-{start_time(os.getpid())}0"
    mine.mkdir()
    sweep.plan([plan_of(1)])
    assert not list(sweep.path.glob(".new-*"))


@pytest.mark.parametrize("found", [None, "", "{", '{"run_id": 1}'], ids=["missing", "empty", "torn", "of another kind"])
def test_unreadable_run_record_is_written_again(sweep: SweepStore, found: str | None) -> None:
    (plan,) = listed(sweep)
    file = sweep.run_dir(plan.record.run_id) / "run.json"
    whole = file.read_bytes()
    file.unlink() if found is None else file.write_text(found)
    report = sweep.plan([plan])
    assert [(one.file, one.before) for one in report.rewritten] == [(str(file), None)]
    assert file.read_bytes() == whole


def test_run_directory_made_by_hand_is_completed(sweep: SweepStore) -> None:
    plan = plan_of(1)
    run_dir = sweep.run_dir(plan.record.run_id)
    run_dir.mkdir(parents=True)
    (run_dir / "notes.txt").write_text("mine")
    sweep.plan([plan])
    assert sorted(p.name for p in run_dir.iterdir()) == ["config.yaml", "notes.txt", "run.json"]


def test_same_eight_digits_of_another_science_are_refused(sweep: SweepStore) -> None:
    (plan,) = listed(sweep)
    other = Plan(replace(plan.record, science_hash="f" * 64))
    with pytest.raises(StoreError, match=r"has the science hash f{64}, and this directory belongs to 0{64}") as caught:
        sweep.plan([other])
    assert "sweep of another name" in (caught.value.hint or "")


def test_keys_outside_the_science_follow_until_there_is_a_result(sweep: SweepStore) -> None:
    (plan,) = listed(sweep)
    run_dir = sweep.run_dir(plan.record.run_id)
    online = replace(plan, text=plan.text.replace("disabled", "offline"))
    (one,) = sweep.plan([online]).rewritten
    assert (one.before, one.after) == (plan.text, online.text)
    assert (run_dir / "config.yaml").read_text() == online.text
    write_result(run_dir, {})
    assert sweep.plan([plan]).rewritten == []
    assert (run_dir / "config.yaml").read_text() == online.text


def test_run_whose_config_resolves_differently_is_reported(sweep: SweepStore) -> None:
    (plan,) = listed(sweep)
    today = Plan(replace(plan.record, run_id="digits-lr=0-s0-ffffffff", science_hash="f" * 64))
    (moved,) = sweep.plan([today]).moved
    assert (moved.run_id, moved.earlier) == (today.record.run_id, plan.record.run_id)
    sweep.freeze(HEADER, entries_of([today]))
    assert sweep.plan([today]).moved == []


def test_generations_are_numbered_and_never_change(sweep: SweepStore) -> None:
    plans = listed(sweep, 2)
    first = (sweep.path / "manifest" / "0001.jsonl").read_bytes()
    assert sweep.freeze(HEADER, entries_of(plans[:1])) == 2
    assert sweep.generations() == [1, 2]
    assert (sweep.path / "manifest" / "0001.jsonl").read_bytes() == first
    assert sweep.header(2) == replace(HEADER, generation=2)
    assert sweep.entries(1) == entries_of(plans)
    assert {view.run_id: view.generation for view in sweep.views()} == {
        plans[0].record.run_id: 2,
        plans[1].record.run_id: 1,
    }


def test_of_many_writers_each_gets_its_own_generation(sweep: SweepStore) -> None:
    listed(sweep)
    numbers: list[int] = []
    writers = [
        threading.Thread(target=lambda: numbers.append(sweep.freeze(HEADER, entries_of([plan_of()])))) for _ in range(8)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert sorted(numbers) == list(range(2, 10))
    assert not list((sweep.path / "manifest").glob(".*"))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"{", "its end is missing"),
        (b"{\n", "line 1: not JSON"),
        (b"{}\n", "line 1"),
        (b'{"version": 9}\n', "version 9"),
    ],
)
def test_status_survives_a_bad_manifest_and_names_it(sweep: SweepStore, content: bytes, words: str) -> None:
    (plan,) = listed(sweep)
    bad = sweep.path / "manifest" / "0002.jsonl"
    bad.write_bytes(content)
    assert [view.run_id for view in sweep.views()] == [plan.record.run_id]
    (problem,) = sweep.problems
    assert str(bad) in problem and words in problem
    assert sweep.freeze(HEADER, entries_of([plan])) == 3


def test_bad_line_of_a_manifest_costs_one_run(sweep: SweepStore) -> None:
    listed(sweep, 3)
    path = sweep.path / "manifest" / "0001.jsonl"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:2], "garbage", lines[3]]) + "\n")
    assert len(sweep.views()) == 2
    assert f"{path}: line 3: not JSON" in sweep.problems[0]


def test_no_such_sweep_or_run(sweep: SweepStore) -> None:
    with pytest.raises(StoreError, match="no sweep 'a' under"):
        sweep.views()
    listed(sweep)
    with pytest.raises(StoreError, match="no run 'x' in the sweep 'a'"):
        sweep.view("x")


# The state of a run


ALL_FACTS = [
    Facts(
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
        state = derive(facts)
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


def on_disk(sweep: SweepStore, plan: Plan, *, kind: str, result: bool, cancelled: bool) -> int | None:
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
        attempts.write_record(str(path), record)
        return sweep.view(plan.record.run_id).state

    assert state(RECORD) is State.LOST
    assert state(alive) is State.RUNNING, "the lock is free, and the process lives"
    assert state(replace(alive, pid_start=1)) is State.LOST, "the pid belongs to another process now"
    assert state(replace(alive, boot_id="before")) is State.LOST, "the machine has been started again"
    assert state(replace(RECORD, boot_id="there", host="elsewhere")) is State.RUNNING, "nothing is known from here"
    assert "it runs on elsewhere" in (sweep.view(plan.record.run_id).message or "")
    held = acquire(str(path / "lock"))
    assert held is not None
    assert state(RECORD) is State.RUNNING, "the process is gone, and the lock is held"
    os.close(held)


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
    assert sweep.view(plan.record.run_id).state is State.RUNNING
    process.kill()
    process.communicate()
    assert sweep.view(plan.record.run_id).state is State.LOST


def test_planned_becomes_pending_while_a_queue_feeds_it(sweep: SweepStore) -> None:
    plans = listed(sweep, 2)
    sweep.freeze(HEADER, entries_of(plans[:1]))
    assert {view.state for view in sweep.views()} == {State.PLANNED}
    fd = sweep.hold_queue(2)
    assert [view.state for view in sweep.views()] == [State.PENDING, State.PLANNED]
    queue = sweep.queue()
    assert queue is not None and (queue.pid, queue.host, queue.generation) == (os.getpid(), host(), 2)
    with pytest.raises(LaunchError, match=rf"being run by process {os.getpid()} on {host()}") as caught:
        sweep.hold_queue(1)
    assert "launch watch a" in (caught.value.hint or "")
    (sweep.path / "queue.lock").write_text("garbage")
    assert {view.state for view in sweep.views()} == {State.PENDING}, "an unreadable note still is a living queue"
    os.close(fd)
    assert sweep.queue() is None


def test_retry_sets_failures_and_cancellations_aside(sweep: SweepStore) -> None:
    failed, cancelled = listed(sweep, 2)
    attempted(sweep, failed, replace(RECORD, ended=2.0, reason=Reason.CRASH, exit_code=1, message="oh"))
    write_cancelled(str(sweep.run_dir(cancelled.record.run_id)), 1)
    assert [view.state for view in sweep.views()] == [State.FAILED, State.CANCELLED]
    sweep.freeze(HEADER, entries_of([failed, cancelled]))
    assert [view.state for view in sweep.views()] == [State.FAILED, State.CANCELLED], "submitting again is no retry"
    sweep.freeze(replace(HEADER, why="retry"), entries_of([failed, cancelled]))
    assert [view.state for view in sweep.views()] == [State.PLANNED, State.PLANNED]
    assert sweep.view(failed.record.run_id).message == "oh"


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


# Claims


def test_of_two_claimants_one_gets_the_attempt(sweep: SweepStore) -> None:
    (plan,) = listed(sweep)
    run_dir = str(sweep.run_dir(plan.record.run_id))
    first = attempts.claim(run_dir, 0, RECORD)
    assert first is not None
    assert attempts.claim(run_dir, 0, RECORD) is None
    assert os.listdir(os.path.join(run_dir, "attempts")) == ["0"]
    assert attempts.read_attempt(attempt_path(run_dir, 0)) == RECORD
    os.close(first.lock)


def test_leftovers_of_dead_claimants_are_removed(sweep: SweepStore) -> None:
    (plan,) = listed(sweep)
    folder = sweep.run_dir(plan.record.run_id) / "attempts"
    for name in (f".claim-{host()}-1", f".claim-{host()}-2"):
        (folder / name).mkdir(parents=True)
    held = acquire(str(folder / f".claim-{host()}-2" / "lock"))
    assert held is not None
    attempts.sweep_claims(str(folder.parent))
    assert os.listdir(folder) == [f".claim-{host()}-2"]
    os.close(held)


def test_result_without_a_supervisor_is_adopted_once(sweep: SweepStore) -> None:
    (plan,) = listed(sweep)
    run_dir = str(sweep.run_dir(plan.record.run_id))
    path = attempted(sweep, plan)
    write_result(path, {"test/accuracy": 0.5})
    held = acquire(str(path / "lock"))
    assert held is not None
    assert not attempts.adopt_result(run_dir), "whoever works on it publishes it"
    os.close(held)
    assert attempts.adopt_result(run_dir)
    assert attempts.adopt_result(run_dir)
    assert os.path.samefile(path / "result.json", os.path.join(run_dir, "result.json"))


def test_result_that_is_none_is_set_aside(sweep: SweepStore) -> None:
    (plan,) = listed(sweep)
    path = attempted(sweep, plan)
    (path / "result.json").write_text("[]")
    assert not attempts.adopt_result(str(sweep.run_dir(plan.record.run_id)))
    assert (path / "result.json.bad").exists()


# Bad weather


@pytest.mark.parametrize(
    ("number", "hint"),
    [
        (errno.ENOSPC, "free some space, then type the command again"),
        (errno.EROFS, "LAUNCH_RUNS="),
        (errno.EACCES, "LAUNCH_RUNS="),
        (errno.EDQUOT, "quota"),
    ],
    ids=["full disk", "read-only file system", "no right to write", "quota"],
)
@pytest.mark.parametrize("step", ["plan", "freeze", "claim", "record"])
def test_disk_that_refuses_is_explained(
    sweep: SweepStore, monkeypatch: pytest.MonkeyPatch, number: int, hint: str, step: str
) -> None:
    (plan,) = listed(sweep)
    path = attempted(sweep, plan)

    def refuse(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(files.os, "write", refuse)
    steps = {
        "plan": lambda: sweep.plan([plan_of(7)]),
        "freeze": lambda: sweep.freeze(HEADER, entries_of([plan])),
        "claim": lambda: attempts.claim(str(sweep.run_dir(plan.record.run_id)), 1, RECORD),
        "record": lambda: attempts.write_record(str(path), RECORD),
    }
    with pytest.raises(StoreError, match=os.strerror(number)) as caught:
        steps[step]()
    assert str(sweep.path) in caught.value.message
    assert hint in (caught.value.hint or "")
    monkeypatch.undo()
    left = [p for p in sweep.path.rglob("*") if p.name.startswith((".new-", ".claim-")) or p.name.endswith(".tmp")]
    assert left == [], "nothing half-written stays"
    assert [view.state for view in sweep.views()] == [State.LOST]


def test_file_in_the_place_of_the_runs_is_explained(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("")
    with pytest.raises(StoreError, match=r"runs/a/manifest: Not a directory") as caught:
        Store(tmp_path / "runs").sweep("a").plan([plan_of()])
    assert "a file stands where a folder must be" in (caught.value.hint or "")


def test_views_of_a_thousand_runs_read_little(sweep: SweepStore, monkeypatch: pytest.MonkeyPatch) -> None:
    plans = listed(sweep, 1000)
    for plan in plans[:500]:
        attempted(sweep, plan, replace(RECORD, ended=2.0, reason=Reason.SUCCESS))
        write_result(sweep.run_dir(plan.record.run_id), {})
    opened = 0
    real = os.open

    def count(*words: object, **more: object) -> int:
        nonlocal opened
        opened += 1
        return real(*words, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(files.os, "open", count)
    assert len(sweep.views()) == 1000
    assert opened <= 500 + 10, "one small file for each attempt, and the manifest"


def test_view_of_a_run_that_is_not_listed_yet(sweep: SweepStore) -> None:
    entry = entries_of([plan_of()])[0]
    view = sweep.look(Listed(entry=entry, generation=0), fed=False)
    assert (view.state, view.attempts) == (State.PLANNED, 0)


def test_records_come_back_from_the_disk_as_they_were(sweep: SweepStore) -> None:
    (plan,) = listed(sweep)
    path = attempted(sweep, plan, replace(RECORD, ended=time.time(), reason=Reason.NAN, message="\udce9 é\n"))
    record = attempts.read_attempt(str(path))
    assert json.loads((path / ATTEMPT).read_text()) == json.loads(json.dumps(to_json(record)))
    (path / ATTEMPT).write_text("null")
    with pytest.raises(StoreError, match=r"attempt\.json: not a JSON object"):
        attempts.read_attempt(str(path))
