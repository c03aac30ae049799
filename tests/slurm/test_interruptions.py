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

_LONG_MIN = 30  # longer than a run takes, however slow this machine is


def test_a_run_preempted_and_timed_out_is_bit_identical_to_an_uninterrupted_one(project: Project, slurm: Slurm) -> None:
    project.profile(partition="low", signal_delay_s=60)
    sweep = {"name": "tiny", "experiment": "digits/s5", "base": TINY}
    (project.folder / "here.yaml").write_text(json.dumps(sweep))
    (project.folder / "tiny.yaml").write_text(json.dumps({**sweep, "resources": {"timeout_min": _LONG_MIN}}))
    project.launch("sweep", "tiny.yaml", "--on", "test")
    (view,) = project.views("tiny")
    for number, interrupt in enumerate((_time_out, _preempt, _time_out)):
        assert wait_until(lambda done=number: works(view.run_dir) == done, 120), project.views("tiny")
        job = job_of(view.run_dir, number)
        interrupt(slurm, job)
        assert wait_until(lambda: project.reasons(view.run_dir)[-1], 60), slurm.jobs()
        slurm.call("scontrol", "update", f"JobId={job}", f"TimeLimit={_LONG_MIN}")
    project.launch("sweep", "here.yaml", "--runs", "here")
    project.until(State.SUCCEEDED, sweep="tiny")
    assert project.reasons(view.run_dir) == ["timeout", "preempted", "timeout", "success"]
    other = Path("here", "tiny", os.path.basename(view.run_dir))
    assert read_metrics(Path(view.run_dir)) == read_metrics(other)
    results = [json.loads((Path(path) / "result.json").read_text())["metrics"] for path in (view.run_dir, other)]
    assert results[0] == results[1]
    assert parameters(Path(view.run_dir)) == parameters(other)
    tables = [project.launch("results", "tiny", "--format", "csv", "--runs", runs) for runs in ("runs", "here")]
    assert tables[0] == tables[1]


def _time_out(slurm: Slurm, job: str) -> None:
    """Bring the time limit near, and send what Slurm sends then: it looks at limits every 30 s only."""
    hours, minutes, _ = ("0:0:" + slurm.call("squeue", "-h", "-j", job, "-o", "%M")).strip().split(":")[-3:]
    slurm.call("scontrol", "update", f"JobId={job}", f"TimeLimit={60 * int(hours) + int(minutes) + 2}")
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
