"""Nodes that fail during a run: their number, the nodes to avoid, and the limit of failures."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from launch.backends.slurm.resubmission import excluded_nodes, should_resubmit
from launch.store.record_json import to_json
from launch.store.scheduler_view import SchedulerView
from launch.store.state import Reason, State
from launch.store.store import Store, SweepStore
from launch.supervise.retry_policy import TooManyNodeFailures, check_nodes, failed_nodes, may_retry
from tests.launch.made_sweep import Made, make_sweep
from tests.launch.stored_runs import RECORD


def attempts(run_dir: Path, *said: dict[str, object]) -> str:
    """Write attempts with the given ends; return the folder of the last attempt."""
    for number, more in enumerate(said):
        record = replace(RECORD, attempt=number, pid=1, job_id="12_0", restarts=number)
        folder = run_dir / "attempts" / str(number)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "attempt.json").write_text(json.dumps({**to_json(record), **more}))
    return str(folder)


def test_a_job_started_again_tells_of_a_node_that_failed(tmp_path: Path) -> None:
    attempts(tmp_path, {"node": "n1"}, {"node": "n2"}, {"node": "n3"})
    assert failed_nodes(str(tmp_path), since=0) == ["n1", "n2"]
    assert failed_nodes(str(tmp_path), since=2) == []
    attempts(tmp_path, {"node": "n1", "ended": 1.0, "reason": "preempted"}, {"node": "n2"}, {"job_id": "13_0"})
    assert failed_nodes(str(tmp_path), since=0) == []


def test_enough_is_enough(tmp_path: Path) -> None:
    last = attempts(tmp_path, {"node": "n1"}, {"node": "n2"}, {"node": "n3"})
    check_nodes({"node_failure": 2}, str(tmp_path), since=0)
    check_nodes({}, str(tmp_path), since=0)
    with pytest.raises(TooManyNodeFailures, match="2 nodes failed under this run: n1, n2"):
        check_nodes({"node_failure": 1}, str(tmp_path), since=0)
    assert not may_retry({"node_failure": 9}, Reason.NODE_FAILURE, last, since=0)


def lost(store: Store, end: str) -> SweepStore:
    """Return a sweep whose only run ended without a record, while Slurm has a state for its job."""
    sweep = make_sweep(store.root, "w", [Made(seed=0, state=State.LOST)])
    (folder,) = (Path(view.run_dir) for view in sweep.views())
    attempts(folder, {"node": "n1", "backend": "slurm", "host": "elsewhere"})
    said = SchedulerView(tasks={}, running=frozenset(), taken=2e9, problem=None, ends=lambda: {"12_0": end})
    return SweepStore(sweep.path, lambda _: said)


@pytest.mark.parametrize(("end", "reason"), [("NODE_FAIL", Reason.NODE_FAILURE), ("FAILED", None)])
def test_slurms_word_for_it_makes_the_reason(tmp_path: Path, end: str, reason: Reason | None) -> None:
    sweep = lost(Store(tmp_path), end)
    (view,) = sweep.views()
    assert (view.state, view.reason, view.message) == (State.LOST, reason, f"its job ended as {end}")
    assert should_resubmit(view, sweep.state().manifest) == (
        reason is Reason.NODE_FAILURE
    )  # none is allowed that was killed


@pytest.mark.parametrize(
    ("reason", "running", "state"),
    [
        (Reason.CRASH, {"12_0"}, State.PLANNED),  # on its way out
        (Reason.CRASH, set(), State.PENDING),  # it waits
        (Reason.CRASH, {"13_0"}, State.PENDING),  # another job, which has just begun
        (Reason.PREEMPTED, {"12_0"}, State.PENDING),  # about to be requeued
    ],
)
def test_a_job_that_leaves_does_not_keep_a_retry_waiting(
    tmp_path: Path, reason: Reason, running: set[str], state: State
) -> None:
    sweep = make_sweep(tmp_path, "w", [Made(seed=0, state=State.FAILED)])
    (view,) = sweep.views()
    attempts(Path(view.run_dir), {"backend": "slurm", "host": "elsewhere", "ended": 2.0, "reason": reason})
    sweep.state().freeze(
        replace(sweep.state().manifest.headers[1], why="retry"),
        [one.entry for one in sweep.state().manifest.listed.values()],
    )
    said = SchedulerView(tasks={view.run_id: ""}, running=frozenset(running), taken=2e9)
    assert SweepStore(sweep.path, lambda _: said).views()[0].state is state


def test_a_node_is_avoided_for_what_it_did_to_earlier_attempts(tmp_path: Path) -> None:
    views = make_sweep(tmp_path, "w", [Made(seed=n, state=State.SUCCEEDED) for n in range(2)]).views()
    for view in views:
        attempts(Path(view.run_dir), {"node": "n2"}, {"node": "n1", "ended": 2.0, "reason": "success"})
    moved = [type(view)(**{**vars(view), "host": "n1", "attempts": 2}) for view in views]
    assert excluded_nodes(moved, 2) == ["n2"]
    assert excluded_nodes(moved, 3) == []
