import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from launch.actions import gc
from launch.actions.remove import plan_removal, remove_all
from launch.cli import main
from launch.errors import BackendError, LaunchError
from launch.store.locks import acquire
from launch.store.manifest import was_removed_since
from launch.store.queue_lock import lock_queue
from launch.store.records import Trigger
from launch.store.scheduler_view import SchedulerView
from launch.store.state import State
from launch.store.store import Store
from tests.launch.made_sweep import Made, make_sweep, run_id_of

DONE = Made(state=State.SUCCEEDED, accuracy=0.5, settings={"lr": 1})
BAD = Made(state=State.FAILED, settings={"lr": 2})
IDLE = [DONE, BAD, Made(state=State.LOST, settings={"lr": 3}), Made(settings={"lr": 4})]


def removed(runs: Path, *targets: str) -> int:
    return remove_all(plan_removal(Store(runs), targets))


def left(runs: Path) -> list[str]:
    return sorted(path.name for path in runs.iterdir())


def test_a_sweep_goes_with_everything_in_it(tmp_path: Path) -> None:
    make_sweep(tmp_path, "old", IDLE)
    make_sweep(tmp_path, "kept", [DONE])
    before = sum(file.lstat().st_size for file in (tmp_path / "old").rglob("*") if not file.is_dir())
    assert removed(tmp_path, "old") == before > 0
    assert left(tmp_path) == ["kept"]
    assert Store(tmp_path).sweep("kept").views()[0].state is State.SUCCEEDED


def test_a_run_goes_and_the_others_stay(tmp_path: Path) -> None:
    sweep = make_sweep(tmp_path, "s", IDLE)
    removed(tmp_path, f"s/{run_id_of(BAD)}")
    assert [view.run_id for view in sweep.views()] == [run_id_of(made) for made in IDLE if made is not BAD]
    assert not sweep.run_dir(run_id_of(BAD)).exists()
    manifest = sweep.state().manifest
    assert (manifest.newest, manifest.newest_header().generation) == (2, 1)
    assert run_id_of(BAD) not in manifest.run_ids[1]
    # A job of an earlier generation that failed is not a failure of a run that is submitted after the deletion.
    asked = [(1, BAD), (1, DONE), (2, BAD)]
    assert [was_removed_since(str(sweep.path), *(n, run_id_of(made))) for n, made in asked] == [True, False, False]


def test_a_run_that_was_deleted_begins_anew_when_it_is_submitted(tmp_path: Path) -> None:
    sweep = make_sweep(tmp_path, "s", [DONE, BAD])
    removed(tmp_path, f"s/{run_id_of(DONE)}")
    make_sweep(tmp_path, "s", [replace(DONE, state=State.PLANNED), replace(BAD, state=State.PLANNED)])
    assert [(view.state, view.attempts) for view in sweep.views()] == [(State.FAILED, 1), (State.PLANNED, 0)]
    assert sweep.state().manifest.removed == frozenset()


def test_the_last_run_of_a_sweep_takes_the_sweep_with_it(tmp_path: Path) -> None:
    make_sweep(tmp_path, "s", [DONE, BAD])
    removed(tmp_path, run_id_of(DONE), run_id_of(BAD))
    assert left(tmp_path) == []


@pytest.mark.parametrize("whole", [True, False])
def test_what_runs_is_refused_by_name(tmp_path: Path, whole: bool) -> None:
    busy = Made(state=State.RUNNING, settings={"lr": 7})
    make_sweep(tmp_path, "s", [DONE, busy])
    with pytest.raises(LaunchError, match=f"{run_id_of(busy)} is running"):
        removed(tmp_path, "s" if whole else f"s/{run_id_of(busy)}")
    assert (tmp_path / "s" / run_id_of(busy)).is_dir()
    if not whole:
        removed(tmp_path, f"s/{run_id_of(DONE)}")  # the run next to it can go
        assert not (tmp_path / "s" / run_id_of(DONE)).exists()


def test_an_attempt_whose_process_still_writes_its_last_lines_is_refused(tmp_path: Path) -> None:
    sweep = make_sweep(tmp_path, "s", [DONE])
    lock = acquire(str(sweep.run_dir(run_id_of(DONE)) / "attempts/0/lock"))
    assert lock is not None
    with pytest.raises(LaunchError, match="is running"):
        removed(tmp_path, "s")
    os.close(lock)
    removed(tmp_path, "s")


@pytest.mark.parametrize(("runs", "expected"), [(["a"], "s/{a}"), (["a", "b"], "s/{a} s/{b}"), ([], "s")])
def test_the_hint_stops_only_what_is_in_the_way(tmp_path: Path, runs: list[str], expected: str) -> None:
    busy = {name: Made(state=State.RUNNING, settings={name: 1}) for name in ("a", "b", "c")}
    ids = {name: run_id_of(made) for name, made in busy.items()}
    make_sweep(tmp_path, "s", [DONE, *busy.values()])
    # The queue of a cluster has a run that works, too.
    store = Store(tmp_path, lambda _: SchedulerView(tasks=dict.fromkeys(ids.values(), ""), problem=None))
    with pytest.raises(LaunchError, match=f"{ids['a']} is running") as caught:
        plan_removal(store, [f"s/{ids[name]}" for name in runs] or ["s"])
    assert caught.value.hint == f"`launch cancel {expected.format(**ids)}` stops what runs or waits"


def test_a_sweep_whose_queue_is_alive_is_refused(tmp_path: Path) -> None:
    sweep = make_sweep(tmp_path, "s", IDLE)
    lock = lock_queue(str(sweep.path), 1)
    with pytest.raises(LaunchError, match=f"the sweep s is being run by process {os.getpid()}"):
        removed(tmp_path, "s")
    os.close(lock)


@pytest.mark.parametrize(
    ("tasks", "problem", "error"),
    [
        ({run_id_of(BAD): "Priority"}, None, "in the queue of the cluster"),
        ({}, "squeue: no answer", "does not answer: squeue: no answer"),
    ],
)
def test_what_a_cluster_has_or_may_have_is_refused(
    tmp_path: Path, tasks: Mapping[str, str], problem: str | None, error: str
) -> None:
    make_sweep(tmp_path, "s", [BAD])
    store = Store(tmp_path, lambda _: SchedulerView(tasks=tasks, taken=1.0, problem=problem))
    with pytest.raises(LaunchError, match=error) as caught:
        plan_removal(store, ["s"])
    assert isinstance(caught.value, BackendError) == (problem is not None)


def test_a_run_that_others_wait_for_is_refused_until_they_go_too(tmp_path: Path) -> None:
    sweep = make_sweep(tmp_path, "s", [DONE, BAD])
    manifest = sweep.state().manifest
    first, then = (manifest.listed[run_id_of(made)].entry for made in (DONE, BAD))
    sweep.state().freeze(
        manifest.newest_header(), [replace(first, provides=("first",)), replace(then, requires=("first",))]
    )
    with pytest.raises(LaunchError, match=f"{run_id_of(BAD)} comes after runs of s and has not succeeded"):
        removed(tmp_path, f"s/{run_id_of(DONE)}")
    removed(tmp_path, f"s/{run_id_of(BAD)}")
    assert [view.run_id for view in sweep.views()] == [run_id_of(DONE)]


def test_a_sweep_that_another_sweep_waits_for_is_refused_until_it_goes_too(tmp_path: Path) -> None:
    make_sweep(tmp_path, "first", [DONE])
    later = make_sweep(tmp_path, "later", [BAD])
    state = later.state()
    entries = [one.entry for one in state.manifest.listed.values()]
    state.freeze(replace(state.manifest.newest_header(), after=("first",)), entries)
    with pytest.raises(LaunchError, match="the sweep later comes after runs of first"):
        removed(tmp_path, "first")
    removed(tmp_path, "first", "later")
    assert left(tmp_path) == []


@pytest.fixture(params=["remove.listed", "remove.hidden"])
def killed_at(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Delete a run and a sweep, each by a command that is killed at a point."""
    make_sweep(tmp_path, "whole", IDLE)
    make_sweep(tmp_path, "part", IDLE)
    environment = {**os.environ, "LAUNCH_FAULT": request.param, "LAUNCH_RUNS": str(tmp_path)}
    for target in ("whole", f"part/{run_id_of(BAD)}"):
        command = [sys.executable, "-m", "launch.cli", "rm", "--yes", target]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == (0 if (request.param, target) == ("remove.listed", "whole") else -9), done.stderr
    return request.param


def test_a_deletion_that_was_killed_shows_no_damage_and_gc_finishes_it(
    killed_at: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LAUNCH_RUNS", str(tmp_path))
    assert main(["status"]) == main(["status", "part"]) == main(["results", "part"]) == 0
    printed = capsys.readouterr()
    assert "warning" not in printed.err
    assert "whole" not in printed.out
    assert run_id_of(BAD) not in printed.out
    monkeypatch.setattr(gc, "GRACE_S", -1.0)
    assert main(["gc"]) == 0
    assert left(tmp_path) == ["part"]
    names = {path.name for path in (tmp_path / "part").iterdir()}
    assert names == {"manifest", "queue.lock", *(run_id_of(made) for made in IDLE if made is not BAD)}


def test_gc_leaves_a_run_that_was_submitted_again_after_its_deletion(tmp_path: Path) -> None:
    sweep = make_sweep(tmp_path, "s", [DONE, BAD])
    state = sweep.state()
    header = replace(state.manifest.newest_header(), why=Trigger.REMOVE)
    state.freeze(header, [state.manifest.listed[run_id_of(DONE)].entry])
    later = -gc.GRACE_S - 1.0
    found = gc.find_garbage(Store(tmp_path), ["s"], now=os.stat(sweep.run_dir(run_id_of(DONE))).st_mtime - later)
    assert [item.kind for item in found] == ["run"]
    sweep.state().freeze(state.manifest.newest_header(), [state.manifest.listed[run_id_of(DONE)].entry])
    assert gc.remove(Store(tmp_path), found) == 0
    assert sweep.run_dir(run_id_of(DONE)).is_dir()


def test_the_command_shows_what_would_go_and_asks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    runs = tmp_path / "runs"
    monkeypatch.setenv("LAUNCH_RUNS", str(runs))
    make_sweep(runs, "one", [DONE])
    make_sweep(runs, "two", IDLE)
    assert main(["rm", "runs/one", "two", "--dry-run"]) == 0
    assert "2 sweeps with 5 runs: " in capsys.readouterr().err
    assert main(["rm", "one"]) == 2  # without a terminal
    assert "add --yes" in capsys.readouterr().err
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("sys.stdin.readline", lambda: "n\n")
    assert main(["rm", "one"]) == 0
    assert "delete 1 sweep with 1 run for good? [y/N] nothing was deleted" in capsys.readouterr().err
    assert left(runs) == ["one", "two"]
    monkeypatch.setattr("sys.stdin.readline", lambda: "y\n")
    assert main(["rm", "one"]) == 0
    assert main(["rm", "two", "--yes"]) == 0
    assert left(runs) == []


def test_what_another_user_owns_is_refused_before_anything_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_sweep(tmp_path, "theirs", [DONE])
    monkeypatch.setattr(os, "getuid", lambda: 4711)
    monkeypatch.setattr(os, "access", lambda path, mode: not str(path).endswith("attempts"))
    with pytest.raises(LaunchError, match=r"cannot delete .*/attempts; nothing was deleted: Permission denied"):
        removed(tmp_path, "theirs")
    assert left(tmp_path) == ["theirs"]
