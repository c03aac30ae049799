"""Runs that a cluster interrupts, and a node that fails."""

import json
import os
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from launch.specs.container import PASS_VARIABLE
from launch.store.state import State
from launch.supervise.retry_policy import failed_nodes
from s5.run_dir.result import read_metrics
from tests.engines.daemon import EngineError, wait_until
from tests.engines.slurm import Slurm
from tests.quickly import QUICKLY
from tests.slurm.project import Project, kill_job
from tests.slurm.trained import TINY, job_of, parameters, works

_LONG_MIN = 30  # longer than a run takes, however slow this machine is


def test_a_run_preempted_and_timed_out_is_bit_identical_to_an_uninterrupted_one(
    project: Project, slurm: Slurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XLA_FLAGS", QUICKLY)  # sbatch passes it on
    monkeypatch.setenv(PASS_VARIABLE, "XLA_FLAGS")
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
        assert wait_until(lambda job=job: _allow(slurm, job, _LONG_MIN), 60), slurm.jobs()
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
    """Shorten the time limit, and send the signal that Slurm would send; Slurm checks limits only every 30 s."""
    hours, minutes, _ = ("0:0:" + slurm.call("squeue", "-h", "-j", job, "-o", "%M")).strip().split(":")[-3:]
    assert _allow(slurm, job, 60 * int(hours) + int(minutes) + 2)
    slurm.call("scancel", "--batch", "--signal=USR2", job)


def _allow(slurm: Slurm, job: str, minutes: int) -> bool:
    """Change a job's time limit; return whether that was possible. While an attempt is stopped it is not."""
    with suppress(EngineError):
        slurm.call("scontrol", "update", f"JobId={job}", f"TimeLimit={minutes}")
        return True
    return False


def _preempt(slurm: Slurm, job: str) -> None:
    """Submit a job of higher priority that needs every node."""
    slurm.call(
        "sbatch", "-p", "main", "-N", str(slurm.settings.nodes), "--exclusive", "-o", "/dev/null", "--wrap", "true"
    )


@pytest.mark.parametrize("ending", ["sleep 100", "trap 'exit 143' TERM; sleep 100", "sleep 100; exit $?"])
def test_commands_that_scancel_ends_are_interrupted_and_not_requeued(
    project: Project, slurm: Slurm, ending: str
) -> None:
    """Slurm sends SIGTERM to every process of a job: a command may end before its supervisor has the signal."""
    script = f"echo x >> {project.folder}/starts; {ending}"
    project.sweep(runs=6, command=["bash", "-c", script], retry={"killed": 3, "crash": 3})
    project.launch("sweep", "x.yaml", "--on", "test")
    project.until_started(6)
    slurm.call("scancel", *{line.partition("_")[0] for line in slurm.jobs("%i")})
    assert wait_until(lambda: not slurm.jobs(), 60), slurm.jobs()
    assert [project.reasons(view.run_dir) for view in project.views()] == 6 * [["interrupted"]]
    assert len(project.starts()) == 6


def test_what_waits_in_the_queue_is_kept_from_a_node_that_kills_runs(project: Project, slurm: Slurm) -> None:
    project.profile(exclude_after=1, exclude="node4")
    project.sweep(runs=3, max_parallel=1)
    project.hold()
    project.launch("sweep", "x.yaml", "--on", "test")
    project.until_started(1)
    first, second, _ = project.views()
    record = {**project.attempt(first.run_dir, 0), "ended": 2.0}
    # As if it had been killed on another node, and one had succeeded on this.
    done = Path(second.run_dir, "attempts", "0")
    done.mkdir(parents=True)
    (done / "attempt.json").write_text(json.dumps({**record, "reason": "success"}))
    Path(second.run_dir, "result.json").write_text('{"version": 1, "metrics": {}}')
    killed = {**record, "reason": "killed", "node": "node2"}
    Path(first.run_dir, "attempts", "0", "attempt.json").write_text(json.dumps(killed))
    project.launch("sweep", "x.yaml", "--on", "test")
    (waiting,) = {line for line in slurm.jobs("%T %x") if line.startswith("PENDING")}
    assert waiting == "PENDING node[2,4]"
    project.hold(False)
    project.until(State.SUCCEEDED)


def test_a_real_time_limit_and_a_node_that_fails_meanwhile(project: Project, slurm: Slurm) -> None:
    slurm.configure(replace(slurm.settings, slurmd_timeout_s=5))
    project.hold()
    project.profile("limited", nodelist="node1", signal_delay_s=50)
    project.sweep(runs=1, resources={"timeout_min": 1})
    project.launch("sweep", "x.yaml", "--on", "limited")
    (limited,) = project.views()
    project.profile("failing", nodelist="node2")
    project.sweep(runs=1, name="y")
    project.launch("sweep", "x.yaml", "--on", "failing")
    (failing,) = project.views("y")
    project.until_started(2)
    (job,) = [line.split()[0] for line in slurm.jobs("%A %N") if line.endswith("node2")]
    slurm.daemon("node2").kill()
    kill_job(job)
    assert wait_until(lambda: "node2" not in slurm.fit_nodes, 60)
    slurm.start_node("node2")
    project.until_started(4)
    project.hold(False)
    project.until(State.SUCCEEDED)
    project.until(State.SUCCEEDED, sweep="y")
    *limits, last = project.reasons(limited.run_dir)
    assert set(limits) == {"timeout"} and last == "success"
    assert len(project.starts()) == len(limits) + 3
    assert project.reasons(failing.run_dir) == [None, "success"]
    assert failed_nodes(failing.run_dir, since=0) == ["node2"]
