"""Reading the output of `squeue`, sharing it between commands, and the states of runs that follow from it."""

import json
import os
import stat
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from launch.backends.slurm import arrays as arrays_of
from launch.backends.slurm import squeue
from launch.backends.slurm.arrays import Array, ArrayRecord, ArrayTask
from launch.backends.slurm.client import ClientError, Unreachable, run_client
from launch.backends.slurm.cluster_identity import ClusterIdentity, own_name
from launch.backends.slurm.job_dependencies import find_positions
from launch.backends.slurm.job_ends import JobEnd, parse_ends
from launch.backends.slurm.scheduler_view import read_queue, scheduler_views
from launch.backends.slurm.squeue import parse_rows, task_words
from launch.errors import BackendError
from launch.specs.resources import Resources
from launch.store.liveness import is_alive
from launch.store.scheduler_view import SchedulerView
from tests.launch.stored_runs import RECORD

NAME = "lra.0123456789abcdef"
ME = own_name()
LISTING = f"""12_[3-5,9%2]|PENDING|JobArrayTaskLimit||{ME}|{NAME}
12_0|RUNNING|None|node1|{ME}|{NAME}
12_1|COMPLETING|None|node2|{ME}|{NAME}
7|RUNNING|None|node2|{ME}|some | body's
8_[0-6:3]|PENDING|JobHeldUser||ada|x
slurm_load_jobs error: nonsense
"""


CONFIG = """Configuration data as of 2026-11-30T10:00:00
ClusterName             = lab
PrivateData             = none
SlurmctldHost[0]        = ctl1(10.0.0.1)
SlurmctldHost[1]        = ctl2
SlurmctldPort           = 6817
"""
LAB = ClusterIdentity("lab@ctl1:6817", hides_others=False)


def record(runs: int = 10, **more: Any) -> ArrayRecord:
    tasks = tuple(ArrayTask(run_id=f"r{n}", generation=1) for n in range(runs))
    known = {"uuid": NAME[-16:], "name": NAME, "generation": 1, "profile": "big", "resources": Resources()}
    known |= {"tasks": tasks, "throttle": None, "signal_delay_s": 120.0, "created": 1.0}
    return ArrayRecord(**(known | more))


def test_rows() -> None:
    rows = parse_rows(LISTING)
    assert [row.job for row in rows] == ["12", "12", "12", "7", "8"]
    assert rows[0].tasks == (3, 4, 5, 9)
    assert (rows[0].throttle, rows[0].reason, rows[0].runs, rows[0].is_held) == (2, "JobArrayTaskLimit", False, False)
    assert [row.runs for row in rows[1:4]] == [True, True, True]
    assert (rows[3].tasks, rows[3].name) == ((), "some | body's")
    assert (rows[4].tasks, rows[4].is_held) == ((0, 3, 6), True)
    # Slurm holds what a node could not start; versions differ in the blanks.
    for reason in ("launch failed requeued held", "launch_failed_requeued_held"):
        (row,) = parse_rows(f"9_1|PENDING|{reason}||{ME}|x")
        assert row.launch_failed and row.is_held


def test_tasks_in_words() -> None:
    assert task_words("12", [4, 0, 1, 2, 9]) == "12_[0-2,4,9]"


def test_what_a_listing_says_of_runs() -> None:
    found = scheduler_views(
        [Array(record=record(), job="12")], squeue.QueueSnapshot(rows=tuple(parse_rows(LISTING)), taken=5.0)
    )
    waits = dict.fromkeys(("r3", "r4", "r5", "r9"), "max_parallel: 2 of job 12 at once")
    assert found.tasks == waits | {"r0": "", "r1": ""}
    assert found.running == {"12_0", "12_1"}
    assert found.job_is_gone("12_7", 4.0)
    assert not found.job_is_gone("12_0", 4.0)
    assert not found.job_is_gone("12_7", 6.0)  # it began after the question


def test_why_an_array_waits_for_others_is_said_in_words() -> None:
    (row,) = parse_rows(f"12_[0-1%1]|PENDING|Dependency||{ME}|{NAME}")
    listing = squeue.QueueSnapshot(rows=(row,))
    before = Array(record=record(uuid="b" * 16, name="before"), job="11")
    after = Array(record=record(waits=("b" * 16 + "_0",)), job="12")
    assert set(scheduler_views([before, after], listing).tasks.values()) == {"waits for job 11"}
    for throttle, why in ((None, ""), (1, "max_parallel: ")):
        follows = scheduler_views([Array(record=record(throttle=throttle), job="12")], listing)
        assert set(follows.tasks.values()) == {f"{why}waits for another job, which `squeue -j 12 -o %E` names"}


@pytest.mark.parametrize(
    ("said", "alive"),
    [
        (None, True),
        (SchedulerView(taken=time.time()), False),
        (SchedulerView(taken=time.time(), running=frozenset({"12_0"})), True),
        (SchedulerView(taken=1.0), True),
        (SchedulerView(taken=time.time(), problem="slurmctld is away"), True),
    ],
)
def test_an_attempt_on_another_node_is_lost_when_its_lock_is_free_and_slurm_has_it_no_more(
    tmp_path: Path, said: SchedulerView | None, alive: bool
) -> None:
    attempt = replace(RECORD, host="elsewhere", boot_id="x", backend="slurm", job_id="12_0", started=100.0)
    assert is_alive(str(tmp_path), attempt, said)[0] is alive


@pytest.fixture
def fake_squeue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A squeue that prints a file and counts its calls, and a scontrol that names the cluster."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (tmp_path / "config").write_text(CONFIG)
    (folder / "scontrol").write_text(f"#!/bin/sh\necho scontrol >> {tmp_path}/questions\ncat {tmp_path}/config\n")
    (folder / "scontrol").chmod(0o755)
    monkeypatch.setenv("SLURM_CONF", str(tmp_path / "slurm.conf"))
    (tmp_path / "slurm.conf").write_text("ClusterName=lab\n")
    script = folder / "squeue"
    script.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/calls\ncat {tmp_path}/rows || exit 1\n')
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    (tmp_path / "rows").write_text(LISTING)
    return tmp_path


def calls(folder: Path) -> list[str]:
    return (folder / "calls").read_text().splitlines()


def test_one_squeue_a_poll_serves_every_sweep_and_every_process(fake_squeue: Path) -> None:
    root = str(fake_squeue / "runs")
    first = squeue.cached(root, 30.0)
    assert [squeue.cached(root, 30.0) for _ in range(3)] == [first] * 3
    assert len(calls(fake_squeue)) == 1
    squeue.invalidate(root)
    assert squeue.cached(root, 30.0).rows == first.rows
    assert len(calls(fake_squeue)) == 2


@pytest.mark.parametrize("spans", [[[0, 10**13]], [["0", 1]], 3, [[0]]])
def test_a_damaged_listing_is_asked_for_again(spans: object, fake_squeue: Path) -> None:
    root = str(fake_squeue / "runs")
    first = squeue.cached(root)
    (file,) = (fake_squeue / "runs" / ".slurm").glob("queue-*.json")
    document = json.loads(file.read_text())
    document["rows"][0][1] = spans
    file.write_text(json.dumps(document))
    assert squeue.cached(root).rows == first.rows
    assert len(calls(fake_squeue)) == 2


def test_an_answer_that_is_too_old_is_asked_again_and_kept_where_nobody_answers(fake_squeue: Path) -> None:
    root = str(fake_squeue / "runs")
    first = squeue.cached(root)
    (fake_squeue / "rows").unlink()
    again = squeue.cached(root, 0.0)
    assert (again.rows, again.taken) == (first.rows, first.taken)
    assert again.problem is not None


def test_an_array_of_another_cluster_or_of_a_private_user_cannot_be_seen() -> None:
    rows = tuple(parse_rows(LISTING))
    here = squeue.QueueSnapshot(rows=rows, taken=5.0, cluster=LAB)
    private = replace(here, cluster=LAB._replace(hides_others=True))
    away, hers = record(name="x.1", cluster="lab@ctl7:6817", user=ME), record(name="x.2", cluster=LAB.name, user="ada")
    assert (here.hides(away), here.hides(hers), private.hides(hers)) == (True, False, True)
    assert not here.hides(record(name="x.3"))  # an older version wrote it
    assert not here.hides(replace(away, name=NAME))  # the queue has it: the controller was moved
    assert not squeue.QueueSnapshot(problem="it is down").hides(away)
    found = scheduler_views([Array(record=away, job="12")], replace(here, rows=()))
    assert found.tasks["r3"] == f"not visible from here: job 12 of {ME} on the cluster lab@ctl7:6817"
    assert not found.job_is_gone("12_3", 4.0)


def test_a_job_of_before_a_cancel_does_not_count_after_a_retry() -> None:
    """It may stay in the queue: a colleague cannot cancel it, or it ends just now. It starts no attempt."""
    old, new = record(), record(name="lra.fedcba9876543210", uuid="fedcba9876543210")
    new = replace(new, tasks=(ArrayTask(run_id="r3", generation=2, retried=2),))
    listing = squeue.QueueSnapshot(rows=tuple(parse_rows(LISTING)), taken=5.0, cluster=LAB)
    found = scheduler_views([Array(record=old, job="12", released=True)], listing)
    for run_id in ("r3", "r0"):  # a task that waits, and one that has just begun
        assert not found.has(run_id, retried=2, cancelled=1)
        assert found.has(run_id, retried=2), "a retry of a run that was not cancelled finds a job that still starts it"
        assert found.has(run_id, retried=0, cancelled=1)
    added = parse_rows(f"14_0|PENDING|Priority||bob|{new.name}")
    arrays = [Array(record=old, job="12", released=True), Array(record=new, job="14", released=True)]
    for rows in ((*listing.rows, *added), (*added, *listing.rows)):  # in any order
        both = replace(listing, rows=rows)
        found = scheduler_views(arrays, both)
        assert (found.tasks["r3"], found.has("r3", 2, 1), found.has("r4", 2, 1)) == ("Priority", True, False)
        assert found.has("r3", 5, cancelled=2) is False
        assert find_positions(arrays, both)["r3"].array == new.uuid
    away = replace(old, cluster="lab@ctl7:6817", name="x.1")
    hidden = scheduler_views([Array(record=away, job="9")], replace(listing, rows=()))
    assert (hidden.has("r1", 0), hidden.has("r1", 2), hidden.has("r1", 2, 1)) == (True, False, False)


def test_each_user_and_cluster_has_a_listing_of_its_own(fake_squeue: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = str(fake_squeue / "runs")
    first = squeue.cached(root)
    assert first.cluster == LAB
    (fake_squeue / "other.conf").write_text("ClusterName=other\n")
    (fake_squeue / "config").write_text(CONFIG.replace("= lab", "= other"))
    (fake_squeue / "rows").write_text("")
    with monkeypatch.context() as there:
        there.setenv("SLURM_CONF", str(fake_squeue / "other.conf"))
        assert squeue.cached(root).cluster == ClusterIdentity("other@ctl1:6817", hides_others=False)
        there.setattr(os, "getuid", lambda: 4711)
        squeue.cached(root)
    assert squeue.cached(root) == first
    assert len(calls(fake_squeue)) == 3
    # A sweep of two users: one question answers for both, and the cluster is known by now.
    squeue.cached(root, users=["root", "daemon"])
    squeue.cached(root, users=["root"])
    assert [line.split()[2] for line in calls(fake_squeue)[3:]] == [",".join(sorted({ME, "root", "daemon"}))]
    assert len((fake_squeue / "questions").read_text().splitlines()) == 3


def test_who_holds_a_job_is_said() -> None:
    words = {
        "JobHeldUser": "held by a user: `scontrol release 9` releases it",
        "job_requeued_in_held_state": "held by a user: `scontrol release 9` releases it",
        "JobHeldAdmin": "held by an administrator: only an administrator can release it, with `scontrol release 9`",
        "launch failed requeued held": "held by Slurm, since a node could not start it: "
        "the sweep's command releases it",
    }
    for reason, said in words.items():
        listing = squeue.QueueSnapshot(rows=tuple(parse_rows(f"9_1|PENDING|{reason}||{ME}|{NAME}")))
        array = Array(record=record(), job="9", released=True)
        assert scheduler_views([array], listing).tasks == {"r1": said}
        assert scheduler_views([replace(array, released=False)], listing).tasks == {
            "r1": "held until its submission is complete"
        }


def test_a_sweep_with_nothing_in_the_queue_costs_no_call(fake_squeue: Path) -> None:
    sweep = fake_squeue / "runs" / "lra"
    assert read_queue(str(sweep)) is None
    arrays_of.write_array(str(sweep), record(), "")
    assert read_queue(str(sweep)).running == {"12_0", "12_1"}
    arrays_of.mark_finished(str(sweep), NAME[-16:])
    assert read_queue(str(sweep)) is None
    assert len(calls(fake_squeue)) == 1


def test_an_array_comes_back_from_the_disk(tmp_path: Path) -> None:
    own = record(throttle=3, resources=Resources(mem_gb=2.5), feeds=True)
    arrays_of.write_array(str(tmp_path), own, "#!/bin/bash\n")
    assert arrays_of.live_arrays(str(tmp_path)) == [Array(record=own, job=None)]
    arrays_of.record_job(str(tmp_path), own.uuid, "17")
    arrays_of.record_job(str(tmp_path), own.uuid, "18")
    assert arrays_of.live_arrays(str(tmp_path))[0].job == "17"


@pytest.mark.parametrize(
    ("script", "kind", "words"),
    [
        (None, Unreachable, "squeue is not on the PATH"),
        ("echo squeue: error: Invalid user: x >&2; exit 1", ClientError, "squeue: Invalid user: x"),
        (
            "echo slurm_load_jobs error: Unable to contact slurm controller '(connect failure)' >&2; exit 1",
            Unreachable,
            "controller does not answer",
        ),
        (
            "echo squeue: fatal: Could not establish a configuration source >&2; exit 1",
            Unreachable,
            "this machine has no Slurm configuration (no slurm.conf",
        ),
        ("exit 1", ClientError, "squeue: it failed and printed nothing"),
    ],
)
def test_who_does_not_answer_is_named(
    fake_squeue: Path, monkeypatch: pytest.MonkeyPatch, script: str | None, kind: str, words: str
) -> None:
    monkeypatch.setenv("PATH", str(fake_squeue / "bin"))
    monkeypatch.delenv("SLURM_CONF")
    program = fake_squeue / "bin" / "squeue"
    program.write_text(f"#!/bin/sh\n{script}\n")
    if script is None:
        program.unlink()
    with pytest.raises(BackendError, match=words.replace("(", r"\(")) as caught:
        run_client(["squeue"])
    assert type(caught.value) is kind
    assert caught.value.exit_code == 3


def test_the_newest_end_of_each_job_is_what_the_accounts_say() -> None:
    text = (
        "12_0|NODE_FAIL|\n12_0|OUT_OF_MEMORY|0:125|node[07-9]\n12_1|CANCELLED by 0|0:0|None assigned\n"
        "12_2|TIMEOUT|0:0|n-3\n12_2|RUNNING\n12_[3-4]|PENDING\n\n?"
    )
    assert parse_ends(text) == {
        "12_0": JobEnd("OUT_OF_MEMORY", "0:125", "node07"),
        "12_1": JobEnd("CANCELLED by 0", "0:0"),
        "12_2": JobEnd("TIMEOUT", "0:0", "n-3"),
    }
