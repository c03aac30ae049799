"""The commands of a user, with a real cluster."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from launch.actions.plan import Plan
from launch.actions.submit import Submission, submit
from launch.store.snapshot import OWN_CODE
from launch.store.state import State
from tests.engines.daemon import wait_until
from tests.engines.slurm import Slurm
from tests.slurm.project import Project


def test_a_sweep_is_submitted_waited_for_and_shown(project: Project) -> None:
    project.launch("sweep", "x.yaml", "--on", "test")
    assert "2 submitted to test in 1 array" in project.said
    project.launch("wait", "x", "--timeout", "1")
    assert project.states() == [State.SUCCEEDED, State.SUCCEEDED]
    assert "0.9" in project.launch("results", "x", "--format", "csv")
    assert "begun" in project.launch("logs", project.views()[0].run_id)
    project.launch("sweep", "x.yaml", "--on", "test")
    assert "nothing to do" in project.said
    assert len(project.starts()) == 2


def test_typed_again_while_it_runs_nothing_is_submitted_twice(project: Project, slurm: Slurm) -> None:
    project.hold()
    project.launch("sweep", "x.yaml", "--on", "test")
    project.until_started(2)
    project.launch("sweep", "x.yaml", "--on", "test")
    assert "nothing new" in project.said
    assert len(slurm.jobs()) == 2
    project.hold(False)
    project.until(State.SUCCEEDED)
    assert len(project.starts()) == 2


def test_two_processes_that_submit_at_once_both_say_that_the_runs_are_pending(
    project: Project, slurm: Slurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.hold()
    words = ["sweep", "x.yaml", "--on", "test"]

    def submit_second(plan: Plan) -> Submission:
        """Store a plan, and let another process submit the sweep before this one takes the lock of its queue."""
        submission = submit(plan)
        subprocess.run([sys.executable, "-m", "launch.cli", *words], check=True, capture_output=True)
        return submission

    monkeypatch.setattr("launch.cli.start.submit", submit_second)
    project.launch(*words)
    states = "2 running|1 running, 1 pending|2 pending"
    assert re.search(f"x: 2 runs: ({states}): nothing new for test", project.said), project.said
    assert len(slurm.jobs()) == 2


def test_an_edit_that_changes_no_configuration_submits_nothing_more(project: Project, slurm: Slurm) -> None:
    """Whether a run waits in an array or is running, it is known under another name."""
    project.sweep(runs=3, max_parallel=1)
    project.hold()
    project.launch("sweep", "x.yaml", "--on", "test")
    project.until_started(1)
    before = {view.run_id for view in project.views()}
    project.sweep(runs=3, max_parallel=1, base={"model.dropout": 0.1}, grid={"optim.lr": ["1e-2"]})
    project.launch("sweep", "x.yaml", "--on", "test")
    assert "nothing new" in project.said
    assert project.views()[0].settings == {"optim.lr": 0.01}
    assert {view.run_id for view in project.views()} == before and len(slurm.jobs()) == 3
    project.hold(False)
    project.until(State.SUCCEEDED)
    assert len(project.starts()) == 3


def test_a_log_is_followed_from_before_its_run_begins_until_it_ends(project: Project) -> None:
    project.sweep(runs=1)
    project.hold()
    project.launch("sweep", "x.yaml", "--on", "test")
    words = [sys.executable, "-m", "launch.cli", "logs", project.views()[0].run_id, "-f"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as following:
        assert following.stdout is not None
        assert following.stdout.readline() == "begun\n"
        assert following.poll() is None
        project.hold(False)
        rest, told = following.communicate(timeout=60)
    assert (rest, following.returncode) == ("", 0), told


def test_cancelled_runs_stop_with_a_checkpoint_and_retry_takes_them_up(project: Project, slurm: Slurm) -> None:
    project.sweep(runs=3, max_parallel=2)
    project.hold()
    project.launch("sweep", "x.yaml", "--on", "test")
    project.until_started(2)
    assert sorted(project.states()) == [State.PENDING, State.RUNNING, State.RUNNING]
    project.launch("cancel", "x")
    project.until(State.CANCELLED)
    assert [len(project.reasons(view.run_dir)) for view in project.views()].count(1) == 2
    project.hold(False)
    project.launch("retry", "x")
    project.until(State.SUCCEEDED)
    assert len(project.starts()) == 5


def test_slurm_says_how_a_job_ended_whose_supervisor_could_not(project: Project) -> None:
    project.sweep(runs=1)
    project.hold()
    project.launch("sweep", "x.yaml", "--on", "test")
    project.until_started(1)
    os.kill(project.views()[0].pid or 0, signal.SIGKILL)
    project.hold(False)  # its payload ends too, with a result that no process is there to publish
    project.until(State.LOST)
    assert wait_until(lambda: project.views()[0].message == "its job ended as FAILED", 20), project.views()
    project.launch("sweep", "x.yaml", "--on", "test")
    assert project.states() == [State.SUCCEEDED]
    assert len(project.starts()) == 1


def test_a_failure_is_judged_shown_and_retried(project: Project) -> None:
    project.sweep(runs=1)
    (project.folder / "fail").touch()
    project.launch("sweep", "x.yaml", "--on", "test")
    project.launch("wait", "x", "--timeout", "1", code=1)
    assert [view.message for view in project.views()] == ["no luck today"]
    project.launch("sweep", "x.yaml", "--on", "test", code=1)
    assert project.states() == [State.FAILED]
    (project.folder / "fail").unlink()
    project.launch("retry", "x")
    project.until(State.SUCCEEDED)


def test_cancelling_a_waiting_run_leaves_the_others_of_its_array_in_the_queue(project: Project, slurm: Slurm) -> None:
    project.sweep(runs=5, max_parallel=2)
    project.hold()
    project.launch("sweep", "x.yaml", "--on", "test")
    assert wait_until(lambda: project.states()[:2] == [State.RUNNING] * 2, 30), slurm.jobs()
    project.launch("cancel", project.views()[3].run_id)
    assert project.states()[2:] == [State.PENDING, State.CANCELLED, State.PENDING]
    project.hold(False)
    assert wait_until(lambda: project.states().count(State.SUCCEEDED) == 4, 60), slurm.jobs()


def test_cancelling_a_running_run_returns_at_once_while_others_of_its_array_wait(project: Project) -> None:
    project.sweep(runs=4, max_parallel=2)
    project.hold()
    project.launch("sweep", "x.yaml", "--on", "test")
    assert wait_until(lambda: project.states()[:2] == [State.RUNNING] * 2, 30)
    began = time.monotonic()
    project.launch("cancel", project.views()[0].run_id)
    assert time.monotonic() - began < 5, "scancel repeats the signal for two minutes"
    assert wait_until(lambda: project.states()[0] is State.CANCELLED, 30)
    project.hold(False)
    assert wait_until(lambda: project.states().count(State.SUCCEEDED) == 3, 60)


def test_all_of_many_running_runs_are_asked_to_stop_while_others_of_their_array_wait(project: Project) -> None:
    project.sweep(runs=15, max_parallel=13)
    project.hold()
    project.launch("sweep", "x.yaml", "--on", "test")
    assert wait_until(lambda: len(project.starts()) == 13, 60)
    views = project.views()
    project.launch("cancel", *(view.run_id for view in (*views[:12], views[14])))
    assert wait_until(lambda: project.states()[:12] == [State.CANCELLED] * 12, 60), project.views()
    assert project.states()[14] is State.CANCELLED
    project.hold(False)
    assert wait_until(lambda: project.states().count(State.SUCCEEDED) == 2, 60)
    assert project.states().count(State.CANCELLED) == 13


def test_what_a_person_holds_stays_held(project: Project, slurm: Slurm) -> None:
    project.sweep(runs=3, max_parallel=1)
    project.hold()
    project.launch("sweep", "x.yaml", "--on", "test")
    assert wait_until(lambda: project.states()[0] is State.RUNNING, 30), slurm.jobs()
    job = slurm.call("squeue", "-h", "-t", "PENDING", "-o", "%F").split()[0]
    slurm.call("scontrol", "hold", job)
    project.launch("sweep", "x.yaml", "--on", "test")
    assert (
        f"job {job} is held by an administrator: only an administrator can release it, with `scontrol release {job}`"
        in project.said
    )
    slurm.call("scontrol", "release", job)
    slurm.call("scontrol", "uhold", job)
    project.launch("sweep", "x.yaml", "--on", "test")
    assert f"job {job} is held by a user: `scontrol release {job}` releases it" in project.said
    assert "held by a user: `scontrol release" in project.launch("status", "x")
    project.hold(False)
    assert wait_until(lambda: project.states()[0] is State.SUCCEEDED, 30), slurm.jobs()
    assert wait_until(lambda: any("JobHeld" in line for line in slurm.jobs()), 30), slurm.jobs()
    project.launch("sweep", "x.yaml", "--on", "test")
    assert project.states()[1:] == [State.PENDING, State.PENDING]
    slurm.call("scontrol", "release", job, check=False)  # of the finished task it complains
    project.until(State.SUCCEEDED)


def test_a_queued_task_runs_the_code_that_was_submitted(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    code = project.folder / "code"
    for package in ("launch", "s5"):
        shutil.copytree(OWN_CODE / package, code / package, ignore=shutil.ignore_patterns("__pycache__"))
    (code / "s5" / "mark.py").write_text("print('as submitted')\n")
    monkeypatch.setattr("launch.actions.submit.OWN_CODE", code)
    payload = "import sys, s5.mark; exec(open(sys.argv[2]).read())"
    command = [sys.executable, "-S", "-c", payload, str(project.folder), str(project.folder / "payload.py")]
    project.sweep(max_parallel=1, command=command)
    project.hold()
    project.launch("sweep", "x.yaml", "--on", "test")
    project.until_started(1)
    (code / "s5" / "mark.py").write_text("print('as edited')\n")
    (code / "launch" / "supervise" / "supervisor.py").write_text("raise RuntimeError('as edited')\n")
    project.hold(False)
    project.until(State.SUCCEEDED)
    for view in project.views():
        assert Path(view.run_dir, "attempts/0/log.txt").read_text() == "as submitted\nbegun\n"
    snapshot = project.folder / "runs" / ".snapshots" / project.attempt(view.run_dir, 0)["snapshot"]
    (script,) = (project.folder / "runs" / "x" / ".slurm").glob("*.sh")
    assert f" {snapshot} " in script.read_text()
