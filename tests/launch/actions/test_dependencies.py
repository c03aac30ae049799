"""Runs with predecessors in their sweep, on this machine."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from launch.actions.drive import run_in_background, run_queue
from launch.actions.plan import Plan, plan_runs
from launch.actions.retry import retry
from launch.actions.submit import Submission
from launch.actions.submit import submit as submit_plan
from launch.cli.formatting import count_states, free
from launch.compose.run import Run
from launch.errors import LaunchError
from launch.profiles.profile import Profile
from launch.specs.resources import Resources
from launch.store.manifest import entry_line
from launch.store.queue_lock import read_queue_owner
from launch.store.records import ManifestEntry
from launch.store.state import State
from launch.store.store import Store
from launch.store.view import RunView
from launch.sweepfile.dependencies import RunDependencies
from tests.kill.harness import wait_until
from tests.launch.command_sweep import code_under, command_runs, python, submit_runs, sweep_of

# Notes its name, then fails where a file says so, or waits while one does.
NOTING = """
import os, sys, time
control, name = sys.argv[1:]
with open(f"{control}/order", "a") as order:
    order.write(name + "\\n")
while os.path.exists(f"{control}/hold-{name}"):
    time.sleep(0.01)
sys.exit("no luck" if os.path.exists(f"{control}/fail-{name}") else 0)
"""
SOURCE = {"a0": ((), ("a",)), "a1": ((), ("a",)), "b": (("a",), ("b",)), "c": (("b",), ()), "free": ((), ())}
LOCAL = Profile(name="local", slots=2)


def runs_of(folder: Path, names: Sequence[str] = tuple(SOURCE)) -> list[Run]:
    """Return runs that note when they begin: `b` comes after `a0` and `a1`, `c` after `b`."""
    runs = command_runs([[*python(NOTING), str(folder), name] for name in SOURCE])
    turns = [RunDependencies(requires=after, provides=gives) for after, gives in SOURCE.values()]
    turned = [replace(run, spec=replace(run.spec, dependencies=turn)) for run, turn in zip(runs, turns, strict=True)]
    return [turned[list(SOURCE).index(name)] for name in names]


def plan(store: Store, names: Sequence[str] = tuple(SOURCE)) -> Plan:
    runs = runs_of(store.root.parent, names)
    return plan_runs(sweep_of(runs), runs, store, LOCAL, sweep_runs=runs_of(store.root.parent))


def submit(store: Store, names: Sequence[str] = tuple(SOURCE)) -> Submission:
    return submit_plan(plan(store, names), source=code_under(store.root.parent))


def order(folder: Path) -> list[str]:
    file = folder / "order"
    return file.read_text().split() if file.exists() else []


def states(views: Sequence[RunView]) -> dict[str, State]:
    return {name: view.state for name, view in zip(SOURCE, views, strict=True)}


def in_order(noted: Sequence[str]) -> bool:
    return max(noted.index("a0"), noted.index("a1")) < noted.index("b") < noted.index("c")


def test_what_waits_begins_after_those_before_it_blocks_nobody_and_says_so(store: Store, tmp_path: Path) -> None:
    (tmp_path / "hold-a1").touch()
    seen: list[dict[str, RunView]] = []

    def watch(views: list[RunView]) -> None:
        seen.append(dict(zip(["c", "b", "a1", "free", "a0"], views, strict=True)))
        if seen[-1]["free"].state is State.SUCCEEDED and seen[-1]["a0"].state is State.SUCCEEDED:
            (tmp_path / "hold-a1").unlink(missing_ok=True)

    run_queue(submit(store, ["c", "b", "a1", "free", "a0"]), on_change=watch)
    assert in_order(order(tmp_path))
    waiting = next(views for views in seen if views["a0"].state is State.SUCCEEDED != views["a1"].state)
    assert (waiting["b"].state, waiting["b"].waits) == (State.PENDING, ("a",))
    assert waiting["b"].message == "waits for a: 1 of 2 runs left"
    assert waiting["c"].message == "waits for b: 1 of 1 run left"
    assert seen[-1]["c"].waits == ()


def test_after_a_failure_nothing_begins_until_it_is_retried(store: Store, tmp_path: Path) -> None:
    (tmp_path / "fail-a1").touch()
    views = run_queue(submit(store))
    assert states(views) == {
        "a0": State.SUCCEEDED,
        "a1": State.FAILED,
        "b": State.PLANNED,
        "c": State.PLANNED,
        "free": State.SUCCEEDED,
    }
    assert views[2].message == f"waits for a: 1 of 2 runs FAILED ({views[1].run_id})"
    assert store.sweep("work").state().views([views[2].run_id])[0] == store.sweep("work").views()[2] == views[2]
    assert "b" not in order(tmp_path)
    again = run_queue(submit(store))  # typed again, it leaves alone what failed, and what waits for it
    assert states(again) == states(views)
    (tmp_path / "fail-a1").unlink()
    retried = retry(store, "work", failed_only=True, source=tmp_path / "code")
    assert [view.run_id for view in retried.views] == [views[1].run_id, views[2].run_id, views[3].run_id]
    run_queue(retried)
    assert {view.state for view in store.sweep("work").views()} == {State.SUCCEEDED}
    assert order(tmp_path)[-3:] == ["a1", "b", "c"]


def test_a_retry_of_failures_alone_waits_for_what_was_cancelled(store: Store, tmp_path: Path) -> None:
    from launch.store.cancel_mark import write_cancelled

    (tmp_path / "fail-a0").touch()
    submission = submit(store)
    write_cancelled(submission.views[1].run_dir, 1)
    run_queue(submission)
    (tmp_path / "fail-a0").unlink()
    run_queue(retry(store, "work", failed_only=True, source=tmp_path / "code"))
    views = store.sweep("work").views()
    assert states(views)["a0"] is State.SUCCEEDED
    assert views[2].message == f"waits for a: 1 of 2 runs CANCELLED ({views[1].run_id})"
    run_queue(retry(store, "work", failed_only=False, source=tmp_path / "code"))
    assert in_order(order(tmp_path))


def test_some_runs_are_chosen_without_others_only_when_those_have_succeeded(store: Store, tmp_path: Path) -> None:
    with pytest.raises(LaunchError, match=r"s2-0.* comes after a, but command-s0-0.*, a run of a, has not") as caught:
        submit(store, ["b", "c"])
    assert "--only" in (caught.value.hint or "")
    assert not store.root.exists()
    assert len(plan(store, ["b", "c"]).obstacles) == 1
    run_queue(submit(store, ["a0", "a1"]))
    views = run_queue(submit(store, ["b", "c"]))
    assert [view.state for view in views] == [State.SUCCEEDED, State.SUCCEEDED]
    assert in_order(order(tmp_path))


def test_a_plan_says_what_each_run_would_wait_for(store: Store) -> None:
    views = plan(store).views
    assert [view.waits for view in views] == [(), (), ("a",), ("b",), ()]
    run_queue(submit(store, ["a0", "a1"]))
    assert [view.waits for view in plan(store).views] == [(), (), (), ("b",), ()]


def test_another_after_is_another_generation(store: Store, tmp_path: Path) -> None:
    assert [submit(store).generation for _ in range(2)] == [1, 1]
    runs = runs_of(tmp_path)
    runs[3] = replace(runs[3], spec=replace(runs[3].spec, dependencies=RunDependencies()))
    changed = submit_runs(sweep_of(runs), runs, store, LOCAL, source=tmp_path / "code")
    assert changed.generation == 2
    assert [view.waits for view in changed.views] == [(), (), ("a",), (), ()]


def test_what_an_edit_left_behind_keeps_nobody_waiting(store: Store, tmp_path: Path) -> None:
    (tmp_path / "fail-a1").touch()
    run_queue(submit(store))
    runs = runs_of(tmp_path, ["a0", "b", "c"])
    views = run_queue(submit_runs(sweep_of(runs), runs, store, LOCAL, source=tmp_path / "code"))
    assert {view.state for view in views} == {State.SUCCEEDED}


def test_the_line_of_a_run_that_has_to_do_with_no_other_is_as_ever() -> None:
    entry = ManifestEntry(run_id="r", experiment="e", settings={}, seed=0, resources=Resources())
    assert "after" not in entry_line(entry) and "gives" not in entry_line(entry)
    assert '"after": ["a"]' in entry_line(replace(entry, requires=("a",)))


def test_the_launcher_is_killed_between_the_first_and_the_last(store: Store, tmp_path: Path) -> None:
    submission = submit(store)
    for name in ("a1", "b"):
        (tmp_path / f"hold-{name}").touch()
        code = f"from tests.launch.actions.test_dependencies import *; store = Store(Path({str(store.root)!r})); "
        words = [sys.executable, "-c", code + "run_queue(submit(store))"]
        launcher = subprocess.Popen(words, cwd=Path(__file__).parents[3], start_new_session=True)
        assert wait_until(lambda name=name: name in order(tmp_path), 30)
        os.kill(launcher.pid, signal.SIGKILL)
        launcher.wait()
        (tmp_path / f"hold-{name}").unlink()
    views = run_queue(submit(store))
    assert {view.state for view in views} == {State.SUCCEEDED}
    assert sorted(order(tmp_path)) == sorted(SOURCE) and in_order(order(tmp_path))
    assert submission.generation == 1


def test_in_the_background_it_ends_too(store: Store, tmp_path: Path) -> None:
    (tmp_path / "fail-b").touch()
    run_in_background(submit(store))
    sweep = store.sweep("work")
    assert wait_until(lambda: read_queue_owner(str(sweep.path)) is None, 30)
    assert states(sweep.views()) == dict.fromkeys(SOURCE, State.SUCCEEDED) | {"b": State.FAILED, "c": State.PLANNED}


def test_what_waits_goes_on_with_the_rest_unless_that_is_to_be_retried(store: Store, tmp_path: Path) -> None:
    assert count_states(free(submit(store).views)) == {State.PLANNED: 5}
    (tmp_path / "fail-a1").touch()
    views = run_queue(submit(store))
    assert count_states(free(views)) == {State.FAILED: 1, State.SUCCEEDED: 2}
