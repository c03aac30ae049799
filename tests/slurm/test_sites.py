"""Clusters with limits: no accounting, tiny arrays, a short queue, a slow queue."""

import os
from collections.abc import Iterator
from dataclasses import replace

import pytest

from launch.actions import wait
from launch.store.state import State
from tests.engines.slurm import Slurm
from tests.slurm.project import Project


def test_no_accounts_tiny_arrays_and_a_queue_that_takes_its_time(project: Project, slurm: Slurm) -> None:
    slurm.configure(replace(slurm.settings, accounting=False, max_array_size=4, slow_s=2))
    project.sweep(runs=6, max_parallel=5)
    project.launch("sweep", "x.yaml", "--on", "test")
    assert "6 submitted to test in 2 arrays" in project.said
    project.until(State.SUCCEEDED)
    assert len(project.starts()) == 6


@pytest.fixture
def short_queue(slurm: Slurm) -> Iterator[None]:
    slurm.limit(MaxSubmitJobs=10)
    yield
    slurm.limit(MaxSubmitJobs=-1)


@pytest.mark.usefixtures("short_queue")
def test_what_does_not_fit_is_submitted_by_the_command_typed_again(project: Project, slurm: Slurm) -> None:
    project.sweep(runs=13)
    project.hold()
    project.launch("sweep", "x.yaml", "--on", "test")
    assert "10 submitted" in project.said and "3 wait for room in the queue" in project.said
    assert len(slurm.jobs()) == 10
    project.hold(False)
    project.until(State.SUCCEEDED, State.PLANNED)
    project.launch("sweep", "x.yaml", "--on", "test")
    project.until(State.SUCCEEDED)
    assert len(project.starts()) == 13


@pytest.mark.usefixtures("short_queue")
def test_a_watcher_that_feeds_sees_everything_through(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wait, "_FEED_S", 0.5)
    project.sweep(runs=12)
    project.launch("sweep", "x.yaml", "--on", "test")
    assert "2 wait for room in the queue" in project.said
    project.launch("watch", "x", "--feed")
    assert "2 submitted to test" in project.said
    assert project.states() == [State.SUCCEEDED] * 12
    assert len(project.starts()) == 12


@pytest.mark.usefixtures("short_queue")
def test_runs_that_leave_submit_what_is_left(project: Project) -> None:
    project.profile(sbatch_from_nodes=True)
    project.sweep(runs=13)
    project.launch("sweep", "x.yaml", "--on", "test")
    assert "3 wait for room in the queue" in project.said
    project.until(State.SUCCEEDED)
    assert len(project.starts()) == 13


def test_a_run_that_lacks_memory_gets_more_where_runs_may_submit(project: Project) -> None:
    project.profile(sbatch_from_nodes=True)
    project.sweep(runs=1, resources={"mem_gb": 0.5, "mem_growth": 3}, retry={"out_of_memory": 1})
    (project.folder / "greedy").touch()
    project.launch("sweep", "x.yaml", "--on", "test")
    project.until(State.SUCCEEDED)
    (view,) = project.views()
    assert project.reasons(view.run_dir) == ["out_of_memory", "success"]


if os.access("/sys/fs/cgroup/memory", os.W_OK):  # where memory cannot be limited, nothing runs out of it

    def test_a_run_that_the_kernel_kills_for_memory_gets_more(project: Project, slurm: Slurm) -> None:
        slurm.configure(replace(slurm.settings, cgroup=True))
        project.profile(sbatch_from_nodes=True)
        resources = {"mem_gb": 0.1, "mem_growth": 5}
        project.sweep(runs=1, resources=resources, retry={"out_of_memory": 1})
        (project.folder / "hungry").write_text(str(200 << 20))
        project.launch("sweep", "x.yaml", "--on", "test")
        project.until(State.SUCCEEDED, State.FAILED)
        (view,) = project.views()
        assert project.reasons(view.run_dir) == ["out_of_memory", "success"], view
        assert "for lack of memory" in project.attempt(view.run_dir, 0)["message"]
        assert project.attempt(view.run_dir, 1)["resources"]["mem_gb"] == 0.5
