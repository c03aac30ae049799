"""The requests to sbatch: the complete script, which also pins the behaviour of submitit; arrays and lanes."""

import sys
from itertools import count
from pathlib import Path

import pytest

from launch.backends.slurm.arrays import ArrayTask, job_name, uuid_in
from launch.backends.slurm.batch_script import setup_lines
from launch.backends.slurm.executor import ScriptExecutor
from launch.backends.slurm.request import Limits, SubmissionInput, build_requests, signal_delay
from launch.profiles.profile import Profile
from launch.profiles.slurm import SlurmSettings
from launch.specs.resources import Resources

HOME = Path(__file__).parents[4]
SUPERVISOR = (
    f"launch_step='the launcher'\"'\"'s Python, `{sys.executable}`,'\nshopt -s execfail\n"
    f"exec {sys.executable} -I -S -c 'import sys; sys.path.insert(0, sys.argv.pop(1)); "
    f"from launch.backends.slurm.task import main; sys.exit(main(sys.argv[1:]))' {HOME}"
)

LAST_LINES = """launch_code=$?
launch_end $launch_code
builtin exit $launch_code
"""
PRELUDE = "\n".join(setup_lines((), "/runs/lra/.slurm/0000000000000000_$SLURM_ARRAY_TASK_ID.log", None))
PRELUDE_OF_EVERYTHING = "\n".join(
    setup_lines((), "'/my runs/100%/lra/.slurm/0000000000000000_'$SLURM_ARRAY_TASK_ID.log", 1)
)

PLAIN = f"""#!/bin/bash

# Parameters
#SBATCH --array=0-1
#SBATCH --cpus-per-task=1
#SBATCH --job-name=lra.0000000000000000
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
#SBATCH --open-mode=append
#SBATCH --output=/runs/lra/.slurm/0000000000000000_%a.log
#SBATCH --requeue
#SBATCH --signal=B:USR2@120

# setup
export LAUNCH_CWD=/home/me
{PRELUDE}

# command
{SUPERVISOR} /runs/lra/.slurm/0000000000000000.json
{LAST_LINES}"""

EVERYTHING = f"""#!/bin/bash

# Parameters
#SBATCH --account=x12
#SBATCH --array=0-1%1
#SBATCH --comment='for the paper'
#SBATCH --constraint='a100&nvlink'
#SBATCH --cpus-per-task=8
#SBATCH --exclude=bad1,worse2
#SBATCH --gres=gpu:a100:2
#SBATCH --job-name=lra.0000000000000000
#SBATCH --kill-on-invalid-dep=yes
#SBATCH --licenses=matlab:1
#SBATCH --mail-type=FAIL,END
#SBATCH --mail-user=me@here.org
#SBATCH --mem=12GB
#SBATCH --nodelist=n1
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
#SBATCH --open-mode=append
#SBATCH --output='/my runs/100%%/lra/.slurm/0000000000000000_%a.log'
#SBATCH --partition=gpu,long
#SBATCH --qos=high
#SBATCH --requeue
#SBATCH --reservation=course
#SBATCH --signal=B:USR2@15
#SBATCH --spread-job
#SBATCH --switches=1
#SBATCH --time=1
#SBATCH --wckey=s5

# setup
export LAUNCH_CWD='/home/my self'
export LAUNCH_PYTHON=python
export XLA_FLAGS='--a --b'
export LAUNCH_PASS=XLA_FLAGS
{PRELUDE_OF_EVERYTHING}
launch_step='setup line 1, `module load anaconda3`,'
module load anaconda3
launch_check $?
launch_step='setup line 2, `conda activate s5`,'
conda activate s5
launch_check $?

# command
{SUPERVISOR} '/my runs/100%/lra/.slurm/0000000000000000.json'
{LAST_LINES}"""


def numbered():
    numbers = count()
    return lambda: f"{next(numbers):016x}"


def tasks(*resources):
    return [(ArrayTask(run_id=f"r{n}", generation=1), each) for n, each in enumerate(resources)]


def want(*resources, **more) -> SubmissionInput:
    settings = {"sweep": "lra", "folder": "/runs/lra", "generation": 1, "cwd": "/home/me"} | more
    return SubmissionInput(tasks=tasks(*resources), **settings)


def requests(wanted, site=None, limits=None, **profile):
    own = Profile(name="big", backend="slurm", site=site or SlurmSettings(), **profile)
    return build_requests(wanted, own, limits or Limits(), numbered())


def test_the_script_of_a_plain_site_is_this_one() -> None:
    (request,) = requests(want(Resources(), Resources()))
    assert request.script == PLAIN
    assert request.command == ("sbatch", "--hold", "/runs/lra/.slurm/0000000000000000.sh")


def test_the_script_of_a_site_that_says_everything_is_this_one() -> None:
    site = SlurmSettings(
        partition="gpu,long",
        account="x12",
        qos="high",
        constraint="a100&nvlink",
        reservation="course",
        licenses="matlab:1",
        nodelist="n1",
        exclude="bad1",
        gpu_type="a100",
        mail_type="FAIL,END",
        mail_user="me@here.org",
        comment="for the paper",
        wckey="s5",
        additional={"switches": "1", "spread-job": True},
        setup=("module load anaconda3", "conda activate s5"),
        python="python",
    )
    resources = Resources(gpus_per_node=2, cpus_per_task=8, mem_gb=12, timeout_min=1)
    wanted = want(
        resources,
        resources,
        folder="/my runs/100%/lra",
        cwd="/home/my self",
        max_parallel=1,
        exclude=["worse2"],
        predecessor_jobs=["7"],
    )
    (request,) = requests(wanted, site, env={"XLA_FLAGS": "--a --b"})
    assert request.script == EVERYTHING
    assert request.words({})[:3] == ["sbatch", "--dependency=afterok:7", "--hold"]


@pytest.mark.parametrize(
    ("site", "there", "not_there"),
    [
        (SlurmSettings(gpu_directive="gpus_per_node"), "--gpus-per-node=2\n", "gres"),
        (SlurmSettings(gpu_directive="gpus_per_node", gpu_type="v100"), "--gpus-per-node=v100:2\n", "gres"),
        (SlurmSettings(gpu_directive="none"), "--array=0-0\n", "gpu"),
        (SlurmSettings(), "--gres=gpu:2\n", "gpus-per-node"),
        (SlurmSettings(signal=False), "--requeue\n", "--signal"),
    ],
)
def test_what_a_site_does_not_want_is_not_said(site: SlurmSettings, there: str, not_there: str) -> None:
    (request,) = requests(want(Resources(gpus_per_node=2)), site)
    assert there in request.script
    assert not_there not in request.script.replace(str(HOME), "")


def test_memory_below_a_gib_and_minutes_that_are_not_whole_are_rounded_for_the_run() -> None:
    (request,) = requests(want(Resources(mem_gb=0.5, timeout_min=1.2)))
    assert "--mem=512MB\n" in request.script
    assert "--time=2\n" in request.script


def test_an_array_holds_equal_resources_and_no_more_tasks_than_the_cluster_allows() -> None:
    small, large = Resources(), Resources(mem_gb=4)
    found = requests(want(small, large, small, small, large), limits=Limits(array_tasks=2))
    runs = [[task.run_id for task in request.record.tasks] for request in found]
    assert runs == [["r0", "r2"], ["r3"], ["r1", "r4"]]
    assert [request.record.resources for request in found] == [small, small, large]
    assert ["--array=0-1\n" in r.script for r in found] == [True, False, True]


def test_ten_thousand_runs_are_ten_arrays() -> None:
    found = requests(want(*[Resources()] * 10_000))
    assert [len(request.record.tasks) for request in found] == [1001] * 9 + [991]
    assert len({request.record.name for request in found}) == 10


def test_arrays_share_what_may_run_at_once() -> None:
    kinds = [Resources(cpus_per_task=n) for n in (1, 2, 3)]
    found = requests(want(*kinds, max_parallel=7))
    assert [request.record.throttle for request in found] == [3, 2, 2]
    assert not any(request.follows for request in found)
    assert "--array=0-0%3\n" in found[0].script


def test_more_arrays_than_may_run_at_once_wait_for_each_other() -> None:
    kinds = [Resources(cpus_per_task=n) for n in (1, 2, 3, 4)]
    found = requests(want(*kinds, max_parallel=2))
    uuids = [request.record.uuid for request in found]
    assert [request.follows for request in found] == [(), (), (uuids[0],), (uuids[1],)]
    assert found[2].words({uuids[0]: "41"})[:2] == ["sbatch", "--dependency=afterany:41"]


@pytest.mark.parametrize(("minutes", "delay"), [(None, 120), (1, 15), (8, 120), (600, 120)])
def test_a_short_run_keeps_most_of_its_time(minutes: int | None, delay: int) -> None:
    assert signal_delay(SlurmSettings(), Resources(timeout_min=minutes)) == delay


def test_names_carry_the_uuid() -> None:
    name = job_name("a-long-name" * 10, "0123456789abcdef")
    assert uuid_in(name) == "0123456789abcdef"
    assert uuid_in("of.another.user") is None
    assert uuid_in("0123456789abcdef") is None


def test_a_parameter_that_submitit_does_not_know_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Unavailable parameter"):
        ScriptExecutor(tmp_path).text("true", {"partitoin": "gpu"})


def test_sbatch_says_the_job() -> None:
    assert ScriptExecutor.job_in("Submitted batch job 12\n") == "12"
    assert ScriptExecutor.job_in("Submitted batch job 12 on cluster big\n") == "12"
