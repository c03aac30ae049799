"""What Slurm, its limits and the filters of a site say about a submission reaches the user."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from launch.actions import wait
from launch.errors import ExitCode
from launch.store.state import State
from tests.engines.daemon import wait_until
from tests.engines.slurm import Slurm
from tests.slurm.project import Project

FILTER = """
function slurm_job_submit(job, partitions, user)
  {rule}
  return slurm.SUCCESS
end
function slurm_job_modify(job, record, partitions, user)
  return slurm.SUCCESS
end
"""
REFUSES = """
  if job.comment ~= "ticket-7" then
    slurm.log_user("this month's budget is spent\\nplease write to \\27[31mhelp\\27[0m")
    return slurm.ERROR
  end
"""
REWRITES = 'slurm.log_user("the partition is busy: your job was given 10 minutes"); job.time_limit = 10'


@pytest.fixture
def site_filter(slurm: Slurm) -> Callable[[str], None]:
    """Return a function that gives the cluster a `job_submit.lua` with some rule."""

    def write(rule: str) -> None:
        (slurm.folder / "etc" / "job_submit.lua").write_text(FILTER.format(rule=rule))
        slurm.configure(replace(slurm.settings, extra=("JobSubmitPlugins=lua",)))

    return write


@pytest.fixture
def strict(slurm: Slurm) -> Iterator[Callable[..., None]]:
    """A QOS `strict` that refuses jobs over its limits; a function that sets the limits."""

    def limit(**limits: Any) -> None:
        words = [f"{name}={value}" for name, value in limits.items()]
        slurm.call("sacctmgr", "-i", "-Q", "add", "qos", "strict", "flags=DenyOnLimit", *words)
        slurm.call("sacctmgr", "-i", "-Q", "modify", "user", "root", "set", "qos+=strict")
        wait_for_controller(slurm)

    yield limit
    slurm.call("sacctmgr", "-i", "-Q", "delete", "qos", "strict")


def wait_for_controller(slurm: Slurm) -> None:
    """Wait until slurmctld knows the QOS; the database tells it a moment later."""
    deadline = time.monotonic() + 20
    while "QOS=strict" not in slurm.call("scontrol", "show", "assoc_mgr", "flags=qos") and time.monotonic() < deadline:
        time.sleep(0.1)


def test_a_filter_that_refuses_is_quoted_before_slurms_words(
    project: Project, slurm: Slurm, site_filter: Callable[[str], None]
) -> None:
    site_filter(REFUSES)
    for words in (["--dry-run"], []):
        project.launch("sweep", "x.yaml", "--on", "test", *words, code=ExitCode.USAGE)
        told = "sbatch: this month's budget is spent; please write to \\x1b[31mhelp\\x1b[0m; "
        assert told in project.said and "Unspecified error" in project.said
        assert not slurm.jobs()
    project.profile(comment="ticket-7")
    project.launch("sweep", "x.yaml", "--on", "test")
    project.until(State.SUCCEEDED)


def test_a_submission_that_a_filter_rewrites_is_told_once(
    project: Project, slurm: Slurm, site_filter: Callable[[str], None]
) -> None:
    slurm.configure(replace(slurm.settings, max_array_size=3))
    site_filter(REWRITES)
    project.sweep(runs=5)
    project.hold()
    project.launch("sweep", "x.yaml", "--on", "test", "--dry-run")
    assert project.said.count("the partition is busy") == 1
    project.launch("sweep", "x.yaml", "--on", "test")
    assert "5 submitted to test in 2 arrays" in project.said
    assert project.said.count("warning: the partition is busy: your job was given 10 minutes") == 1
    assert set(slurm.jobs("%l")) == {"10:00"}


@pytest.mark.parametrize(
    ("limits", "resources", "says"),
    [
        ({"MaxWall": "00:02:00"}, {"timeout_min": 3}, ("timeout_min: 3 is more", "QOSMaxWallDurationPerJobLimit")),
        ({"MaxTRESPerUser": "cpu=2"}, {"cpus_per_task": 3}, ("cpus_per_task: 3 is more", "QOSMaxCpuPerUserLimit")),
        ({"MaxTRESPerJob": "node=1"}, {"nodes": 2}, ("nodes: 2 is more", "QOSMaxNodePerJobLimit")),
        ({"GrpTRES": "mem=900M"}, {"mem_gb": 1.5}, ("mem_gb: 1.5 is more", "QOSGrpMem")),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_limit_that_a_run_can_never_meet_is_a_refusal_in_the_dry_run_too(
    project: Project,
    slurm: Slurm,
    strict: Callable[..., None],
    limits: dict[str, str],
    resources: dict[str, Any],
    says: tuple[str, str],
) -> None:
    strict(**limits)
    project.profile(qos="strict")
    project.sweep(runs=2, resources={"cpus_per_task": 1, **resources})
    for words in (["--dry-run"], []):
        project.launch("sweep", "x.yaml", "--on", "test", *words, code=ExitCode.USAGE)
        assert all(word in project.said for word in says), project.said
    assert not slurm.jobs()
    project.sweep(runs=2, resources={"cpus_per_task": 1, "timeout_min": 1, "mem_gb": 0.2})
    project.launch("sweep", "x.yaml", "--on", "test")
    project.until(State.SUCCEEDED)


def test_a_limit_on_the_number_of_jobs_means_full_even_if_the_launcher_does_not_know_it(
    project: Project, slurm: Slurm, strict: Callable[..., None]
) -> None:
    strict(MaxSubmitJobsPerUser=5)
    project.profile(qos="strict", accounting=False)
    project.sweep(runs=9)
    project.hold()
    project.launch("sweep", "x.yaml", "--on", "test")
    assert "4 submitted" in project.said
    assert "5 wait for room in the queue (QOSMaxSubmitJobPerUserLimit)" in project.said
    assert len(slurm.jobs()) == 4


def test_two_options_for_memory_are_named(project: Project, slurm: Slurm) -> None:
    project.profile(additional={"mem-per-cpu": "300M"})
    project.sweep(resources={"mem_gb": 1})
    project.launch("sweep", "x.yaml", "--on", "test", "--dry-run", code=ExitCode.USAGE)
    assert "slurm/test.yaml: additional.mem-per-cpu: it excludes resources.mem_gb, which is 1" in project.said
    project.sweep()
    project.launch("sweep", "x.yaml", "--on", "test")
    project.until(State.SUCCEEDED)


def test_a_full_job_table_takes_a_part_of_an_array_too(project: Project, slurm: Slurm) -> None:
    slurm.configure(replace(slurm.settings, max_job_count=25, max_array_size=11, min_job_age_s=2))
    # Jobs of earlier tests are in the table until they are old enough.
    assert wait_until(lambda: not slurm.call("squeue", "-h", "-a", "-t", "all").strip(), 120, poll_s=0.5)
    project.sweep(runs=40)
    project.hold()
    project.launch("sweep", "x.yaml", "--on", "test")
    fitted = len(slurm.jobs())
    assert 21 <= fitted <= 25
    assert f"{fitted} submitted to test in 3 arrays" in project.said
    assert f"{40 - fitted} wait for room in the queue" in project.said
    project.hold(False)


def test_a_full_job_table_takes_what_fits_says_why_and_goes_on(
    project: Project, slurm: Slurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wait, "_FEED_S", 0.5)
    monkeypatch.setattr(wait, "_MAX_FEED_S", 0.5)
    slurm.configure(replace(slurm.settings, max_job_count=60, min_job_age_s=2))
    script = project.folder / "other.sh"
    script.write_text("#!/bin/sh\nsleep 600\n")
    slurm.call("sbatch", "--hold", "--array=0-39", "--output=/dev/null", str(script))
    other = slurm.jobs("%F")[0]
    project.sweep(runs=30)
    project.hold()
    begun = time.monotonic()
    project.launch("sweep", "x.yaml", "--on", "test")
    assert time.monotonic() - begun < 40
    fitted = len(slurm.jobs()) - 40
    assert 10 <= fitted < 20
    assert f"{fitted} submitted" in project.said
    assert (
        f"{30 - fitted} wait for room in the queue (Slurm's table of all users' jobs is full (MaxJobCount=60"
        in project.said
    )
    assert "Slurm temporarily unable to accept job" in project.said
    project.launch("sweep", "x.yaml", "--on", "test")  # no room yet: it keeps what has fitted
    assert "nothing new" in project.said and len(slurm.jobs()) - 40 == fitted
    slurm.call("scancel", other)
    project.hold(False)
    project.launch("watch", "x", "--feed")
    assert project.states() == [State.SUCCEEDED] * 30
    assert len(project.starts()) == 30
