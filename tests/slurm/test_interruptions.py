"""Runs that a cluster interrupts, and a node that fails."""

import json
import os
from dataclasses import replace
from pathlib import Path

from launch.records import State
from s5.result import read_metrics
from tests.engines.daemon import wait_until
from tests.engines.slurm import Slurm
from tests.slurm.project import Project, kill_job
from tests.slurm.trained import TINY, job_of, parameters, works


def test_a_run_preempted_and_timed_out_is_bit_identical_to_an_uninterrupted_one(project: Project, slurm: Slurm) -> None:
    project.profile(partition="low")
    sweep = {"name": "tiny", "experiment": "digits/s5", "base": TINY}
    (project.folder / "here.yaml").write_text(json.dumps(sweep))
    (project.folder / "tiny.yaml").write_text(json.dumps({**sweep, "resources": {"timeout_min": 2}}))
    project.launch("sweep", "tiny.yaml", "--on", "test")
    (view,) = project.views("tiny")
    interrupted = -1
    for interrupt in (_time_out, _preempt, _time_out):
        assert wait_until(lambda done=interrupted: works(view.run_dir) > done, 120), project.views("tiny")
        interrupted = works(view.run_dir)
        interrupt(slurm, job := job_of(view.run_dir, interrupted))
    slurm.call("scontrol", "update", f"JobId={job}", "TimeLimit=30")  # however slow this machine is
    project.until(State.SUCCEEDED, sweep="tiny")
    reasons = project.reasons(view.run_dir)
    assert len(reasons) >= 4 and reasons[-1] == "success"
    assert set(reasons[:-1]) <= {"timeout", "preempted"} and "preempted" in reasons
    project.launch("sweep", "here.yaml", "--runs", "here")
    other = Path("here", "tiny", os.path.basename(view.run_dir))
    assert read_metrics(Path(view.run_dir)) == read_metrics(other)
    results = [json.loads((Path(path) / "result.json").read_text())["metrics"] for path in (view.run_dir, other)]
    assert results[0] == results[1]
    assert parameters(Path(view.run_dir)) == parameters(other)


def _time_out(slurm: Slurm, job: str) -> None:
    """Send what Slurm sends before the time limit, without waiting for it to come near."""
    slurm.call("scancel", "--batch", "--signal=USR2", job)


def _preempt(slurm: Slurm, job: str) -> None:
    """Want every node for a job that goes before."""
    slurm.call(
        "sbatch", "-p", "main", "-N", str(slurm.settings.nodes), "--exclusive", "-o", "/dev/null", "--wrap", "true"
    )


def test_a_real_time_limit(project: Project) -> None:
    project.profile(signal_delay_s=50)
    project.sweep(runs=1, resources={"timeout_min": 1})
    project.hold()
    project.launch("sweep", "x.yaml", "--on", "test")
    project.until_started(2)
    project.hold(False)
    project.until(State.SUCCEEDED)
    (view,) = project.views()
    assert project.reasons(view.run_dir) == ["timeout", "success"]


def test_a_node_that_fails_gives_its_run_back(project: Project, slurm: Slurm) -> None:
    slurm.configure(replace(slurm.settings, slurmd_timeout_s=5))
    project.sweep(runs=1)
    project.hold()
    project.launch("sweep", "x.yaml", "--on", "test")
    project.until_started(1)
    (view,) = project.views()
    assert view.host is not None
    job = slurm.jobs("%A %N")[0].split()[0]
    slurm.daemon(view.host).kill()
    kill_job(job)
    project.hold(False)
    project.until(State.SUCCEEDED)
    assert len(project.starts()) == 2
    assert project.reasons(view.run_dir) == [None, "success"]
