"""Runs with predecessors in their sweep: the queue keeps the order, whatever happens to the predecessors."""

import json
import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from launch.actions import wait
from launch.specs.container import PASS_VARIABLE
from launch.store.state import State
from tests.engines.daemon import wait_until
from tests.engines.slurm import Slurm
from tests.quickly import QUICKLY
from tests.slurm.project import Project
from tests.slurm.trained import TINY

# Notes its name, its block's and its seed, then waits while a file of that name says so, and fails where one does.
NOTING = """
import os, sys, time
control, block = sys.argv[1:]
name = block + os.environ["LAUNCH_RUN_DIR"].rpartition("-s")[2].partition("-")[0]
with open(f"{control}/order", "a") as order:
    order.write(name + "\\n")
while os.path.exists(f"{control}/hold-{name}"):
    time.sleep(0.02)
if os.path.exists(f"{control}/fail-{name}"):
    os.unlink(f"{control}/fail-{name}")
    sys.exit("no luck today")
"""


def write(project: Project, *blocks: dict[str, Any], **keys: Any) -> None:
    """Write a sweep of blocks; the key `does` of a block is the text that its runs write."""
    (project.folder / "noting.py").write_text(NOTING)
    words = [sys.executable, "-S", str(project.folder / "noting.py"), str(project.folder)]
    own = [{**block, "command": [*words, block["does"]]} for block in blocks]
    for block in own:
        del block["does"]
    (project.folder / "x.yaml").write_text(json.dumps({"experiment": "digits/s5", "blocks": own, **keys}))


def order(project: Project) -> list[str]:
    file = project.folder / "order"
    return file.read_text().split() if file.exists() else []


def touch(project: Project, *names: str) -> None:
    for name in names:
        (project.folder / name).touch()


PRE = {"name": "pre", "does": "pre", "seeds": 2}
POST = {"name": "post", "does": "post", "after": "pre", "seeds": 1}
LAST = {"does": "last", "after": "post", "seeds": 1}


def test_a_run_begins_once_those_before_it_have_succeeded_and_no_later(project: Project, slurm: Slurm) -> None:
    write(project, {"does": "last", "after": "post"}, {**POST, "after": {"pre": "seed"}, "seeds": 2}, PRE)
    assert "--dependency=afterok:" in project.launch("sweep", "x.yaml", "--on", "test", "--dry-run")
    touch(project, "hold-pre1")
    project.launch("sweep", "x.yaml", "--on", "test")
    assert "5 submitted to test in 4 arrays" in project.said
    assert wait_until(lambda: "post0" in order(project), 30), slurm.jobs()
    last, _, waiting, *_ = project.views()
    assert (waiting.state, waiting.message) == (State.PENDING, "waits for pre seed=1: 1 of 1 run left")
    assert last.message in ("waits for post: 1 of 2 runs left", "waits for post: 2 of 2 runs left")
    assert "waits for pre" in project.launch("status", "x")
    project.launch("sweep", "x.yaml", "--on", "test")
    assert "nothing new" in project.said
    (project.folder / "hold-pre1").unlink()
    project.until(State.SUCCEEDED)
    assert order(project)[-2:] == ["post1", "last0"]
    assert len(order(project)) == 5


def test_a_run_that_fails_is_tried_again_and_waited_for(project: Project) -> None:
    project.profile("requeued", requeue=True)
    project.profile("again", requeue=False, sbatch_from_nodes=True)
    for name in ("requeued", "again"):
        write(project, PRE, POST, name=name, retry={"crash": 1})
        touch(project, "fail-pre1")
        project.launch("sweep", "x.yaml", "--on", name)
        assert wait_until(lambda: not (project.folder / "fail-pre1").exists(), 60)
    for name in ("requeued", "again"):
        project.until(State.SUCCEEDED, sweep=name)
    jobs = [project.attempt(project.views("again")[1].run_dir, number)["job_id"] for number in (0, 1)]
    assert jobs[0] != jobs[1]
    assert sorted(order(project)) == sorted(2 * ["pre0", "pre1", "pre1", "post0"])
    # Of either sweep, whichever was quicker: the first end of all comes after three of its own.
    assert order(project).index("post0") >= 3


def test_after_a_failure_nothing_begins_until_it_is_retried(project: Project, slurm: Slurm) -> None:
    write(project, PRE, POST, LAST)
    touch(project, "fail-pre1")
    project.launch("sweep", "x.yaml", "--on", "test")
    project.launch("wait", "x", "--timeout", "1", code=1)
    views = project.views()
    assert [view.state for view in views[1:]] == [State.FAILED, State.PLANNED, State.PLANNED]
    assert views[2].message == f"waits for pre: 1 of 2 runs FAILED ({views[1].run_id})"
    assert "launch retry x" in project.said
    assert not slurm.jobs()
    project.launch("sweep", "x.yaml", "--on", "test")
    assert "2 wait for runs that have not succeeded" in project.said
    assert not slurm.jobs()
    project.launch("retry", "x")
    project.until(State.SUCCEEDED)
    assert order(project)[-3:] == ["pre1", "post0", "last0"]


def test_what_waits_in_the_queue_is_tied_to_the_run_that_is_tried_again(project: Project, slurm: Slurm) -> None:
    project.profile(requeue=False)
    slow = {"name": "slow", "does": "slow", "seeds": 1}
    write(project, {**PRE, "seeds": 1}, slow, {**POST, "after": ["pre", "slow"]})
    touch(project, "hold-pre0", "hold-slow0")
    project.launch("sweep", "x.yaml", "--on", "test")
    assert wait_until(lambda: sorted(order(project)) == ["pre0", "slow0"], 30)
    project.launch("cancel", project.views()[0].run_id)
    assert wait_until(lambda: project.states()[0] is State.CANCELLED, 30)
    project.launch("retry", "x")  # at once: the old job may be on its way out still
    assert wait_until(lambda: order(project).count("pre0") == 2, 30), slurm.jobs()
    (project.folder / "hold-slow0").unlink()
    assert wait_until(lambda: project.states()[1] is State.SUCCEEDED, 30)
    assert project.views()[2].message == "waits for pre: 1 of 1 run left"
    (project.folder / "hold-pre0").unlink()
    project.until(State.SUCCEEDED)
    assert order(project)[-1] == "post0"


def test_what_has_a_result_is_not_waited_for_whatever_its_job_does(project: Project, slurm: Slurm) -> None:
    write(project, {**PRE, "seeds": 1}, POST)
    touch(project, "hold-pre0")
    project.launch("sweep", "x.yaml", "--on", "test")
    assert wait_until(lambda: order(project) == ["pre0"], 30)
    Path(project.views()[0].run_dir, "result.json").write_text('{"version": 1, "metrics": {}}')
    project.launch("sweep", "x.yaml", "--on", "test")
    assert "1 submitted to test" in project.said
    assert wait_until(lambda: order(project) == ["pre0", "post0"], 30), slurm.jobs()
    (project.folder / "hold-pre0").unlink()
    project.until(State.SUCCEEDED)


def test_what_waits_for_a_run_that_was_cancelled_before_it_began_holds_no_node(project: Project, slurm: Slurm) -> None:
    post = {**POST, "after": {"pre": "seed"}, "seeds": 3}
    write(project, {**PRE, "seeds": 3}, post, max_parallel=1)
    touch(project, "hold-pre0")
    project.launch("sweep", "x.yaml", "--on", "test")
    assert wait_until(lambda: order(project) == ["pre0"], 30), slurm.jobs()
    project.launch("cancel", project.views()[1].run_id)
    (project.folder / "hold-pre0").unlink()
    assert wait_until(lambda: not slurm.jobs(), 40), "a task waits 65 s for a result that is not to come"
    done, planned = State.SUCCEEDED, State.PLANNED
    assert wait_until(lambda: project.states() == [done, State.CANCELLED, done, done, planned, done], 5)
    assert project.views()[4].message.startswith("waits for pre seed=1: 1 of 1 run CANCELLED")
    assert "post1" not in order(project)


def test_a_cluster_that_starts_failed_jobs_again_does_not_do_so_to_runs(project: Project, slurm: Slurm) -> None:
    slurm.configure(replace(slurm.settings, extra=("RequeueExit=1,70-90",)))
    project.profile(requeue=False)
    write(project, PRE, {"does": "alone"}, retry={"crash": 0})
    touch(project, "fail-pre0", "hold-pre1")
    project.launch("sweep", "x.yaml", "--on", "test")
    assert wait_until(lambda: sorted(order(project)) == ["alone0", "pre0", "pre1"], 60), slurm.jobs()
    os.kill(project.views()[1].pid or 0, signal.SIGTERM)  # it ends with 75, for a new job
    assert wait_until(lambda: not slurm.jobs(), 60)
    assert wait_until(lambda: project.states() == [State.FAILED, State.PREEMPTED, State.SUCCEEDED], 5)
    assert len(order(project)) == 3


@pytest.fixture
def short_queue(slurm: Slurm) -> Iterator[None]:
    slurm.limit(MaxSubmitJobs=3)
    yield
    slurm.limit(MaxSubmitJobs=-1)


@pytest.mark.usefixtures("short_queue")
def test_what_waits_takes_no_room_from_those_before_it(
    project: Project, slurm: Slurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wait, "_FEED_S", 0.5)
    write(project, {**POST, "seeds": 3}, {**PRE, "seeds": 4})
    project.launch("sweep", "x.yaml", "--on", "test")
    assert "3 submitted" in project.said and "4 wait for room in the queue" in project.said
    project.launch("watch", "x", "--feed")
    assert project.states() == [State.SUCCEEDED] * 7
    assert all(name.startswith("pre") for name in order(project)[:4])


def test_a_training_starts_from_the_run_before_it(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XLA_FLAGS", QUICKLY)  # sbatch passes it on
    monkeypatch.setenv(PASS_VARIABLE, "XLA_FLAGS")
    tiny = {**TINY, "train.epochs": 1}
    blocks = [
        {"name": "pretrain"},
        {"name": "finetune", "after": {"pretrain": "seed"}, "base": {"train.init_from": "pretrain"}},
    ]
    text = json.dumps({"experiment": "digits/s5", "base": tiny, "blocks": blocks})
    (project.folder / "x.yaml").write_text(text)
    project.launch("sweep", "x.yaml", "--on", "test")
    assert "2 submitted to test in 2 arrays" in project.said
    project.until(State.SUCCEEDED)
    pretrain, finetune = project.views()
    log = Path(finetune.run_dir, "attempts", "0", "log.txt").read_text()
    assert f"starting from {pretrain.run_dir} " in log
