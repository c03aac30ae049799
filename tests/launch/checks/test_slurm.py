"""The checks of a cluster, from the output of its commands; `tests/slurm/test_doctor.py` checks a real cluster."""

from dataclasses import replace
from pathlib import Path

import pytest

from launch.backends.slurm.cluster import read_settings
from launch.checks import slurm as cluster
from launch.checks.check import Level
from launch.profiles.profile import Profile
from launch.profiles.slurm import SlurmSettings

CONFIG = """\
Configuration data as of 2026-11-22T08:00:00
ClusterName             = alps
JobRequeue              = 1
KillWait                = 30 sec
MaxArraySize            = 1001
MaxJobCount             = 10000
MinJobAge               = 300 sec
PreemptMode             = REQUEUE
PreemptType             = preempt/partition_prio
SchedulerParameters     = bf_interval=30
SlurmctldParameters     = preempt_send_user_signal
SLURM_VERSION           = 23.11.4
"""
PARTITIONS = """\
PartitionName=gpu AllowGroups=ALL Default=YES GraceTime=0 MaxTime=1-00:00:00 PreemptMode=OFF State=UP TRES=cpu=32
PartitionName=scavenge AllowGroups=ALL Default=NO GraceTime=120 MaxTime=UNLIMITED PreemptMode=REQUEUE State=DOWN
PartitionName=hasty AllowGroups=ALL Default=NO GraceTime=0 MaxTime=UNLIMITED PreemptMode=REQUEUE State=UP
PartitionName=harsh AllowGroups=ALL Default=NO GraceTime=9 MaxTime=UNLIMITED PreemptMode=CANCEL State=UP
"""


def profile(**site: object) -> Profile:
    return Profile(name="alps", backend="slurm", site=replace(SlurmSettings(), **site))


def partition_checks(config: str = CONFIG, **site: object) -> list[tuple[str, Level, str, str | None]]:
    found = cluster.check_partition(profile(**site), read_settings(config), cluster.read_partitions(PARTITIONS))
    return [(check.name, check.level, check.message, check.advice) for check in found]


def test_the_default_partition_is_named() -> None:
    checks = partition_checks()
    assert checks[0][:3] == ("partition", Level.OK, "gpu (the default): at most 1-00:00:00 a run")
    assert checks[1][:3] == ("preemption", Level.OK, "gpu: none")


def test_an_unknown_partition_fails_with_the_nearest() -> None:
    (check,) = partition_checks(partition="scavange")
    assert check == (
        "partition",
        Level.FAIL,
        "there is no partition 'scavange'",
        "set in the profile: partition: scavenge",
    )


def test_a_partition_that_is_down_is_told_and_what_preempts_it() -> None:
    down, preemption = partition_checks(partition="scavenge")
    assert down[1] is Level.WARN and down[2].endswith("it is down")
    assert preemption[1:3] == (Level.OK, "scavenge: requeue, 120 s after a signal (the asked-for one)")


@pytest.mark.parametrize(("name", "words"), [("hasty", "no time for a checkpoint"), ("harsh", "leaves the queue")])
def test_preemption_that_costs_work_is_a_warning(name: str, words: str) -> None:
    check = partition_checks(partition=name)[1]
    assert check[1] is Level.WARN and words in (check[3] or "")


def test_without_the_setting_a_preempted_run_hears_sigterm() -> None:
    config = CONFIG.replace("preempt_send_user_signal", "(null)")
    assert "(SIGTERM)" in partition_checks(config, partition="scavenge")[1][2]


@pytest.mark.parametrize(
    ("listing", "kind", "level", "words"),
    [
        ("gpu|gpu:a100:4(S:0-1)\n", "a100", Level.OK, "of type a100"),
        ("gpu|gpu:a100:4,nvme:1\ngpu|gpu:h100:8\n", None, Level.OK, "of type a100, h100"),
        ("gpu|gpu:4\n", None, Level.OK, "without types"),
        ("gpu|(null)\n", None, Level.OK, "none are listed"),
        ("gpu|gpu:a100:4\n", "h100", Level.FAIL, "no GPU of type 'h100'"),
    ],
)
def test_gpus_are_read_from_the_nodes(listing: str, kind: str | None, level: Level, words: str) -> None:
    (check,) = cluster.check_gpus(profile(gpu_type=kind), listing)
    assert check.level is level and words in check.message


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("MaxArraySize = 1001", "1,000 runs in an array"),
        ("SchedulerParameters = bf_interval=30,max_array_tasks=50", "50 runs in an array"),
        ("MaxArraySize = 1", "takes no arrays"),
        ("MinJobAge = 10 sec", "poll_interval_s"),
    ],
)
def test_limits_are_told(line: str, words: str) -> None:
    found = cluster.check_limits(profile(), read_settings(CONFIG + line))
    assert any(words in f"{check.message} {check.advice}" for check in found)


def test_requeue_that_is_off_by_default_is_told() -> None:
    config = read_settings(CONFIG.replace("JobRequeue              = 1", "JobRequeue = 0"))
    check = next(iter(cluster.check_requeue(profile(), config)))
    assert check.level is Level.WARN and "requeue: false" in (check.advice or "")


def test_without_slurm_it_says_where_to_type_the_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    checks = list(cluster.examine_cluster(profile(), tmp_path))
    assert (checks[0].level, checks[0].message) == (Level.FAIL, "not on the PATH: sbatch, squeue, scontrol, scancel")
    assert not any(check.name == "slurmctld" for check in checks)


@pytest.mark.parametrize(
    ("site", "level", "words"),
    [
        ({"python": "/opt/gone/bin/python"}, Level.WARN, "python: /opt/gone/bin/python does not exist on this machine"),
        ({"python": "/opt/gone/python", "setup": ("module load x",)}, Level.WARN, "does not exist on this machine"),
        ({"python": "/etc/passwd"}, Level.WARN, "python: /etc/passwd is not a program that can be executed"),
        ({"python": "python9.99"}, Level.WARN, "python: python9.99 is not on the PATH of this machine"),
        ({"python": "python9.99", "setup": ("module load x",)}, Level.OK, "only a run tells if it is there"),
        ({"python": "sh"}, Level.OK, "bin/sh, for trainings"),
        ({"python": "/bin/sh"}, Level.OK, "/bin/sh, for trainings; a `command:` is executed as it is written"),
    ],
)
def test_the_interpreter_for_training_is_never_passed_over(site: dict, level: Level, words: str) -> None:
    (check,) = cluster.check_interpreter(profile(**site))
    assert (check.name, check.level) == ("training python", level)
    assert words in check.message
    assert not list(cluster.check_interpreter(profile()))  # the launcher's own


def test_the_interpreter_for_training_must_be_shared_too(tmp_path: Path) -> None:
    found = {check.name for check in cluster.check_shared(tmp_path, profile(python="/bin/sh"))}
    assert found == {f"{name} shared" for name in ("runs", "code", "python", "training python")}
    for python in ("x", "/nowhere/python"):  # what is not here has no file system here
        found = {check.name for check in cluster.check_shared(tmp_path, profile(python=python))}
        assert "training python shared" not in found
