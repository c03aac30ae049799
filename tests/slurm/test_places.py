"""Two clusters, or two users, with one folder of runs: neither spoils what the other sees, and nothing runs twice."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from launch.store.state import State
from tests.engines.daemon import wait_until
from tests.engines.slurm import Slurm
from tests.engines.slurm_settings import Settings
from tests.slurm.project import Project


@pytest.fixture
def other(slurm: Slurm) -> Iterator[Slurm]:
    """A second cluster with the name of the first: only their controllers tell them apart."""
    folder = Path(tempfile.mkdtemp(prefix="slurm-", dir="/tmp"))
    cluster = Slurm(folder, Settings(nodes=1, gpus=0, accounting=False, name=slurm.settings.name))
    try:
        cluster.up()
        yield cluster
    finally:
        cluster.remove()


def test_what_another_cluster_has_is_left_to_it(
    project: Project, slurm: Slurm, other: Slurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = (cluster.environment["SLURM_CONF"] for cluster in (slurm, other))
    project.profile(poll_interval_s=600)
    project.sweep(runs=4, max_parallel=2)
    project.hold()
    project.launch("sweep", "x.yaml", "--on", "test")
    assert wait_until(lambda: project.states().count(State.RUNNING) == 2, 60), slurm.jobs()
    project.launch("status", "x")

    monkeypatch.setenv("SLURM_CONF", there)
    shown = project.launch("status", "x")
    assert shown.count("PENDING") == 2 and "not visible from here: job" in shown
    project.launch("sweep", "x.yaml", "--on", "test")
    assert "nothing new for test; 4 left to job" in project.said
    assert not other.jobs()
    views = project.views()
    project.launch("cancel", views[0].run_id, views[3].run_id, code=3)
    assert project.said.count("not reached  x/") == 2
    assert f"2 runs could not be reached: job {slurm.jobs('%F')[0]} of " in project.said

    monkeypatch.setenv("SLURM_CONF", here)
    assert project.states() == [State.RUNNING, State.RUNNING, State.PENDING, State.CANCELLED]
    assert len(slurm.jobs()) == 4
    project.launch("cancel", views[0].run_id)
    assert wait_until(lambda: project.states()[0] is State.CANCELLED, 60), project.views()
    project.hold(False)
    assert wait_until(lambda: project.states()[1:3] == [State.SUCCEEDED] * 2, 60), slurm.jobs()
    assert wait_until(lambda: not slurm.jobs(), 60)
    assert len(project.starts()) == 3

    # What was cancelled and is retried goes to the cluster on which the command is typed.
    monkeypatch.setenv("SLURM_CONF", there)
    project.launch("retry", "x")
    assert len(other.jobs()) + len(project.starts()) >= 4
    project.until(State.SUCCEEDED)
    assert len(project.starts()) == 5
