"""Jobs that die before their supervisor begins are attempts that failed to start, and say why."""

import os
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from launch.actions import wait
from launch.store.state import Reason, State
from tests.engines.daemon import wait_until
from tests.engines.slurm import Slurm
from tests.slurm.project import Project


def submit(project: Project, code: int = 0) -> None:
    project.launch("sweep", "x.yaml", "--on", "test", code=code)


def until_gone(slurm: Slurm) -> None:
    assert wait_until(lambda: not slurm.jobs(), 30), slurm.jobs()


@pytest.mark.parametrize(
    ("setup", "says"),
    [
        (["export A=1", "ls /not/there/either"], "setup line 2, `ls /not/there/either`, ended with 2: ls: cannot"),
        (["exit 41"], "setup line 1, `exit 41`, ended with 41"),
        (["true", "exit 0"], "setup line 2, `exit 0`, ended with 0"),
        (["set -u", 'test -n "$NOT_SET_HERE"'], "ended with 1: NOT_SET_HERE: unbound variable"),
        (["set -e", "cd /nowhere"], "setup line 2, `cd /nowhere`, ended with 1: cd: /nowhere: No such"),
        (
            ["if true; then", "  sh -c 'exit 6'", "fi"],
            "setup lines 1-3, `if true; then sh -c 'exit 6' fi`, ended with 6",
        ),
        (["module() { echo 'no such module' >&2; return 1; }", "module load cuda/99"], "ended with 1: no such module"),
        (["if true; then"], "ended with 2: syntax error: unexpected end of file"),
        (
            ["set -x", "cat /no/such/file"],
            "line 2, `cat /no/such/file`, ended with 1: cat: /no/such/file: No such file",
        ),
        (["cd /nowhere && ls"], "setup line 1, `cd /nowhere && ls`, ended with 1"),
    ],
    ids=lambda value: value[-1] if isinstance(value, list) else "",
)
def test_a_setup_line_that_fails_is_named(project: Project, slurm: Slurm, setup: list[str], says: str) -> None:
    project.profile(setup=setup)
    project.sweep(runs=1)
    submit(project)
    until_gone(slurm)
    (view,) = project.views()
    assert (view.state, view.reason, view.attempts) == (State.FAILED, Reason.START, 1)
    assert says in (view.message or ""), view.message
    assert view.host in slurm.settings.node_names
    assert not project.starts()


def test_lines_that_tolerate_a_failure_and_lines_that_belong_together_do_not_end_a_run(project: Project) -> None:
    together = ["for name in A B; do", "  export $name=1", "done", "cat <<END", "exit 3", "END", "test $A = \\", "1"]
    project.profile(setup=["false || true", "# exit 5", "(exit 7) || :", "", *together, 'true; # "'])
    project.sweep(runs=1)
    submit(project)
    project.until(State.SUCCEEDED, State.FAILED)
    assert project.states() == [State.SUCCEEDED], project.views()[0].message


@pytest.fixture
def interpreter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The interpreter that the supervisors of new submissions use, a file that a test may replace."""
    place = tmp_path / "env" / "bin" / "python"
    place.parent.mkdir(parents=True)
    place.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    place.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(place))
    return place


def test_a_node_without_the_interpreter_is_a_failed_start_that_every_command_tells(
    project: Project, slurm: Slurm, interpreter: Path
) -> None:
    interpreter.unlink()
    project.sweep(runs=2)
    submit(project)
    until_gone(slurm)
    said = project.launch("status", "x")
    named = f"the launcher's Python, `{interpreter}`,"
    assert f"{named} ended with 127: {interpreter}: No such file or directory" in said
    first, second = project.views()
    shown = project.launch("show", first.run_id)
    assert "not been started" not in shown
    assert shown.count("start: ") + shown.count("start (exit code 127): ") == 2  # the state, and the attempt
    assert "No such file or directory" in project.launch("logs", first.run_id)
    told = project.launch("doctor", "--on", "test", "--json")
    assert f"2 failed to start; {first.run_id}: job" in told and "2 planned" not in told
    assert "`launch retry x` runs them again" in told
    assert not os.path.exists(f"{first.run_dir}/attempts")  # readers write nothing
    for _ in range(2):
        submit(project, code=1)
        assert not slurm.jobs()
        assert "2 failed" in project.said
        assert "launch retry x" in project.said
        assert "launch watch" not in project.said
    assert project.attempt(second.run_dir, 0)["exit_code"] == 127
    assert f"{interpreter}: No such file or directory" in project.launch("report", "x", "--output", "-")
    assert "No such file or directory" in project.launch("logs", second.run_id)
    told = project.launch("doctor", "--on", "test", "--json")
    assert "2 failed to start; " in told and "`launch retry x` runs them again" in told


def test_failed_starts_are_tried_again_as_often_as_the_sweep_says_and_no_more(
    project: Project, slurm: Slurm, interpreter: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wait, "_FEED_S", 0.3)
    monkeypatch.setattr(wait, "_MAX_FEED_S", 0.3)
    interpreter.write_text("#!/bin/sh\necho broken environment >&2\nexit 9\n")
    project.sweep(runs=1, retry={"start": 2, "killed": 0})
    submit(project)
    project.launch("watch", "x", "--feed", code=1)
    until_gone(slurm)
    (view,) = project.views()
    assert (view.state, view.attempts) == (State.FAILED, 3)
    assert "ended with exit code 9 before the run started: broken environment" in (view.message or "")
    interpreter.write_text(f'#!/bin/sh\nexec {sys.prefix}/bin/python "$@"\n')
    project.launch("retry", "x")
    project.until(State.SUCCEEDED)
    assert project.views()[0].attempts == 4


@pytest.mark.parametrize("remembered", [True, False])
def test_without_accounts_the_controller_and_then_the_log_tell(
    project: Project, slurm: Slurm, interpreter: Path, remembered: bool
) -> None:
    slurm.configure(replace(slurm.settings, accounting=False, min_job_age_s=300 if remembered else 2))
    interpreter.write_text("#!/bin/sh\necho cannot load libpython >&2\nexit 12\n")
    project.sweep(runs=1)
    submit(project)
    until_gone(slurm)
    if not remembered:
        assert wait_until(lambda: not slurm.call("squeue", "-h", "-t", "all"), 120)
    (view,) = project.views()
    assert (view.state, view.reason) == (State.FAILED, Reason.START)
    assert "before the run started: cannot load libpython" in (view.message or "")
    assert ("exit code 12" in (view.message or "")) == remembered


def test_a_job_whose_log_cannot_be_written_is_told_by_slurm(project: Project, slurm: Slurm) -> None:
    project.sweep(runs=1)
    slurm.call("scontrol", "update", "partitionname=main", "state=down")
    try:
        submit(project)
        folder = project.folder / "runs" / "x" / ".slurm"
        shutil.move(folder, folder.with_name("hidden"))  # as on a node that does not see this folder
    finally:
        slurm.call("scontrol", "update", "partitionname=main", "state=up")
    until_gone(slurm)
    shutil.move(folder.with_name("hidden"), folder)
    (view,) = project.views()
    assert (view.state, view.reason) == (State.FAILED, Reason.START), view
    assert "before the run started; it has no log: perhaps its node does not see" in (view.message or "")


def test_jobs_that_a_user_removes_or_that_are_asked_to_stop_in_setup_have_not_failed(
    project: Project, slurm: Slurm
) -> None:
    # Slurm's signal may reach the command of a line before the shell.
    killed = 'test "$SLURM_ARRAY_TASK_ID" = 0 || sh -c "sleep 60; true"'
    project.profile(setup=[f"touch {project.folder}/begun-$SLURM_ARRAY_TASK_ID", killed, "sleep 60"])
    project.sweep(runs=3, max_parallel=2)
    submit(project)
    assert wait_until(lambda: len(list(project.folder.glob("begun-*"))) == 2, 30)
    job = slurm.jobs("%F")[0]
    slurm.call("scancel", f"{job}_2")
    slurm.call("scancel", "--batch", "--signal=USR2", f"{job}_0")  # as before a preemption
    slurm.call("scancel", f"{job}_1")
    until_gone(slurm)
    assert project.states() == [State.PLANNED] * 3, project.views()
    assert [view.attempts for view in project.views()] == [0, 0, 0]
    project.profile()
    submit(project)
    project.until(State.SUCCEEDED)


def test_a_prolog_that_fails_is_a_failed_start_and_takes_no_second_node(project: Project, slurm: Slurm) -> None:
    prolog = project.folder / "prolog"
    prolog.write_text("#!/bin/sh\nexit 3\n")
    prolog.chmod(0o755)
    slurm.configure(replace(slurm.settings, extra=(f"Prolog={prolog}",)))
    project.sweep(runs=1)
    submit(project)
    assert wait_until(lambda: project.states() == [State.FAILED], 30, poll_s=0.3), project.views()
    (view,) = project.views()
    assert view.reason is Reason.START
    assert "could not be started by its node: Error running slurm prolog: 3" in (view.message or "")
    submit(project, code=1)
    until_gone(slurm)
    nodes = slurm.call("sinfo", "-h", "-N", "-p", "main", "-o", "%N %t").splitlines()
    assert len([line for line in nodes if "drain" in line]) == 1
    assert project.reasons(view.run_dir) == ["start"]
    prolog.write_text("#!/bin/sh\n")
    project.launch("retry", "x")
    project.until(State.SUCCEEDED)


def test_a_requeued_job_that_fails_to_start_is_an_attempt_after_the_one_that_was_interrupted(
    project: Project, slurm: Slurm, interpreter: Path
) -> None:
    project.sweep(runs=1)
    project.hold()
    submit(project)
    project.until_started(1)
    interpreter.unlink()
    slurm.call("scontrol", "requeue", f"{slurm.jobs('%F')[0]}_0")
    until_gone(slurm)
    (view,) = project.views()
    assert (view.state, view.reason, view.attempts) == (State.FAILED, Reason.START, 2), view
    assert "begun" in project.launch("logs", view.run_id, "--attempt", "0")
    assert "No such file or directory" in project.launch("logs", view.run_id)
    submit(project, code=1)
    assert project.reasons(view.run_dir)[1:] == ["start"]
    assert project.views()[0].attempts == 2


def test_a_run_of_several_nodes_whose_first_node_fails_has_one_failed_start(project: Project, slurm: Slurm) -> None:
    project.profile(setup=['test "$SLURM_NNODES" = 1 || { echo two nodes >&2; exit 17; }'])
    project.sweep(runs=1, resources={"nodes": 2, "cpus_per_task": 1})
    submit(project)
    until_gone(slurm)
    (view,) = project.views()
    assert (view.state, view.attempts) == (State.FAILED, 1)
    assert "ended with 17: two nodes" in (view.message or "")


def test_a_setup_line_that_ends_with_a_code_of_requeue_exit_is_not_started_for_ever(
    project: Project, slurm: Slurm
) -> None:
    slurm.configure(replace(slurm.settings, extra=("RequeueExit=1,41-43",)))
    project.profile(setup=[f"echo begun >> {project.folder}/begun", "sh -c 'exit 42'"])
    project.sweep(runs=1)
    submit(project)
    until_gone(slurm)
    (view,) = project.views()
    assert (view.state, view.attempts) == (State.FAILED, 1)
    assert "setup line 2, `sh -c 'exit 42'`, ended with 42" in (view.message or "")
    assert (project.folder / "begun").read_text() == "begun\n"
