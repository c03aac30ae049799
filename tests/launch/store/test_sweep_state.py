"""The state of a sweep at one moment: it is read once and passed on, so it is consistent."""

from dataclasses import replace
from pathlib import Path

import pytest

from launch.store import manifest as manifest_module
from launch.store.cancel_mark import write_cancelled
from launch.store.manifest import freeze
from launch.store.scheduler_view import SchedulerView
from launch.store.state import State
from launch.store.store import Store, SweepStore
from launch.store.sweep_state import SweepState
from tests.launch.stored_runs import HEADER, entries_of, listed


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the generation files that are opened, as they are."""
    paths: list[str] = []
    read = manifest_module.read_bytes
    monkeypatch.setattr(manifest_module, "read_bytes", lambda path: paths.append(Path(path).name) or read(path))
    return paths


def test_a_state_reads_every_generation_once(sweep: SweepStore, opened: list[str]) -> None:
    plans = listed(sweep, 2)
    state = sweep.state()
    assert [view.run_id for view in state.views()] == [plan.record.run_id for plan in plans]
    assert state.views() == state.refreshed().views()
    assert opened == ["0001.jsonl"]


def test_looking_again_reads_only_what_was_added(sweep: SweepStore, opened: list[str]) -> None:
    plans = listed(sweep, 2)
    state = sweep.state()
    freeze(str(sweep.path), replace(HEADER, why="retry"), entries_of(plans[:1]))
    opened.clear()
    later = state.refreshed()
    assert opened == ["0002.jsonl"]
    assert (later.manifest, later.views()) == (sweep.state().manifest, sweep.views())
    assert state.manifest.newest == 1


def test_a_state_that_freezes_knows_the_generation_unread(sweep: SweepStore, opened: list[str]) -> None:
    plans = listed(sweep, 2)
    state, generation = sweep.state().freeze(replace(HEADER, why="retry"), entries_of(plans[:1]))
    assert generation == state.manifest.newest
    assert (state.manifest.newest, opened) == (2, ["0001.jsonl"])
    assert state.manifest == sweep.state().manifest


def test_a_generation_of_another_launcher_is_read_by_the_one_that_freezes_after_it(sweep: SweepStore) -> None:
    plans = listed(sweep, 2)
    state = sweep.state()
    freeze(str(sweep.path), replace(HEADER, why="retry"), entries_of(plans[:1]))
    assert state.freeze(HEADER, entries_of(plans))[0].manifest == sweep.state().manifest


def test_a_manifest_that_was_replaced_or_damaged_is_read_again(sweep: SweepStore) -> None:
    listed(sweep)
    path = sweep.path / "manifest" / "0001.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    damaged = sweep.state()
    assert damaged.manifest.problems
    path.write_bytes(whole)
    mended = damaged.refreshed()
    assert not mended.manifest.problems
    path.unlink()
    assert not mended.refreshed().manifest.listed


def test_a_view_is_read_once_and_watched_runs_are_read_again(sweep: SweepStore) -> None:
    (plan,) = listed(sweep)
    run_id, state = plan.record.run_id, sweep.state()
    assert state.view(run_id).state is State.PLANNED
    write_cancelled(str(sweep.run_dir(run_id)), 1)
    assert state.view(run_id).state is State.PLANNED
    assert state.read_view(run_id).state is State.CANCELLED
    assert state.refreshed().view(run_id).state is State.CANCELLED


def test_a_queue_says_itself_what_it_feeds(sweep: SweepStore) -> None:
    (plan,) = listed(sweep)
    assert sweep.state(fed=[plan.record.run_id]).view(plan.record.run_id).state is State.PENDING


def test_a_scheduler_is_asked_once_and_only_if_the_files_leave_something_open(tmp_path: Path) -> None:
    asked: list[str] = []

    def scheduler(folder: str) -> SchedulerView:
        asked.append(folder)
        return SchedulerView(problem="squeue does not answer")

    sweep = Store(tmp_path, scheduler).sweep("a")
    plans = listed(sweep, 2)
    state = sweep.state()
    assert asked == []
    state.views()
    assert state.scheduler_error == "squeue does not answer"
    assert asked == [str(sweep.path)]
    state.refreshed().view(plans[0].record.run_id)
    assert len(asked) == 2


def test_runs_that_would_be_submitted_are_seen_as_if_they_were(sweep: SweepStore) -> None:
    plans = listed(sweep, 2)
    entries = entries_of(plans)
    changed = replace(entries[1], resources=replace(entries[1].resources, cpus_per_task=2))
    state = sweep.state()
    assert state.with_entries(entries) is state
    planned = state.with_entries([changed])
    assert planned.view(changed.run_id).resources.cpus_per_task == 2
    assert planned.manifest.listed[changed.run_id].submitted == 2
    assert state.view(changed.run_id).resources.cpus_per_task == 1
    assert SweepState.read(str(sweep.path)).manifest.newest == 1
