"""The limits that a cluster's clients print, and messages for its refusals that name the key."""

import time
from dataclasses import replace
from pathlib import Path

import pytest

from launch.backends.slurm import sbatch as sbatch_module
from launch.backends.slurm.client import ClientError, Unreachable
from launch.backends.slurm.cluster import (
    check_memory,
    check_partition,
    has_accounts,
    limits_of,
    read_partitions,
    read_settings,
)
from launch.backends.slurm.feed import free_places, without_task
from launch.backends.slurm.request import Limits
from launch.backends.slurm.resubmission import excluded_nodes
from launch.backends.slurm.sbatch_errors import explain_refusal, is_full
from launch.backends.slurm.squeue import QueueSnapshot, parse_rows
from launch.errors import BackendError, LaunchError, ProfileError
from launch.profiles.profile import Profile
from launch.profiles.slurm import SlurmSettings
from launch.specs.resources import Resources
from launch.store.state import Reason, State
from tests.launch.made_sweep import Made, make_sweep
from tests.launch.stored_runs import entries_of, plan_of

CONFIG = """Configuration data as of 2026-01-01T00:00:00
AccountingStorageType   = accounting_storage/slurmdbd
MaxArraySize            = 1001
MaxJobCount             = 10000
MinJobAge               = 90 sec
SchedulerParameters     = bf_interval=1,max_array_tasks=500,foo
"""
PARTITIONS = "main*|7-00:00:00\nshort|30:00\nlong|infinite\nmid|1-12:00:00\n"


def test_limits_are_the_clusters_own() -> None:
    settings = read_settings(CONFIG)
    assert has_accounts(settings)
    known = Limits(array_tasks=500, job_table=10000, job_age_s=90)
    assert limits_of(settings, SlurmSettings(), []) == replace(known, submit=10000)
    assert limits_of(settings, SlurmSettings(max_submit=40), [900, 60]) == replace(known, submit=40)
    assert limits_of({"MaxArraySize": "6"}, SlurmSettings(), []) == Limits(array_tasks=6, submit=None)
    exits = {"MaxArraySize": "6", "RequeueExit": "75,80-82", "RequeueExitHold": "1"}
    assert limits_of(exits, SlurmSettings(), []).requeue_exits == (1, 75, 80, 81, 82)
    none = {"MaxArraySize": "6", "RequeueExit": "(null)", "RequeueExitHold": "(null)"}
    assert limits_of(none, SlurmSettings(), []).requeue_exits == ()
    with pytest.raises(BackendError, match="no job arrays"):
        limits_of({"MaxArraySize": "0"}, SlurmSettings(), [])


def test_room() -> None:
    assert free_places(Limits(submit=10), 4) == 6
    assert free_places(Limits(submit=10), 14) == 0
    assert free_places(Limits(), 14) is None


def test_partitions() -> None:
    found = read_partitions(PARTITIONS)
    assert [(p.name, p.is_default, p.most_min) for p in found] == [
        ("main", True, 7 * 24 * 60),
        ("short", False, 30),
        ("long", False, None),
        ("mid", False, 36 * 60),
    ]


@pytest.mark.parametrize(
    ("partition", "minutes", "message"),
    [
        (None, None, None),
        ("short", 30, None),
        ("short", None, None),
        ("long", 10**6, None),
        ("short,long", 31, None),
        ("short", 31, "resources.timeout_min: 31 min is longer than the partition short allows, which is 30 min"),
        (None, 20_000, "than the partition main allows"),
        ("shrot", 5, "x.yaml: partition: the cluster has no partition 'shrot'; did you mean short?"),
        ("main,nope", 5, "the cluster has no partition 'nope'"),
    ],
)
def test_a_partition_must_let_runs_start(partition: str | None, minutes: int | None, message: str | None) -> None:
    site, found = SlurmSettings(partition=partition), read_partitions(PARTITIONS)
    if message is None:
        check_partition(site, minutes, found, "x.yaml")
        return
    with pytest.raises(LaunchError) as caught:
        check_partition(site, minutes, found, "x.yaml")
    assert message in caught.value.message
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("said", "place", "code"),
    [
        ("sbatch: error: invalid partition specified: nope", "x.yaml: partition: the cluster has no partition", 2),
        ("sbatch: error: Invalid account or account/partition combination specified", "x.yaml: account: ", 2),
        ("sbatch: error: Invalid qos specification", "x.yaml: qos: ", 2),
        ("allocation failure: Invalid feature specification", "x.yaml: constraint: ", 2),
        ("allocation failure: Requested reservation is invalid", "x.yaml: reservation: ", 2),
        ("allocation failure: Invalid license specification", "x.yaml: licenses: ", 2),
        ("sbatch: error: Invalid generic resource (gres) specification", "x.yaml: gpu_directive: ", 2),
        ("allocation failure: Requested node configuration is not available", "resources: ", 2),
        ("sbatch: error: Requested time limit is invalid (missing or exceeds some limit)", "resources.timeout_min", 2),
        ("sbatch: error: Memory specification can not be satisfied", "resources.mem_gb: ", 2),
        ("sbatch: unrecognized option '--nope'", "x.yaml: additional: ", 2),
        ("allocation failure: Invalid node name specified", "x.yaml: nodelist: ", 2),
        ("sbatch: error: Something unheard of", "sbatch: Something unheard", 3),
    ],
)
def test_a_refusal_names_the_key_and_keeps_slurms_words(said: str, place: str, code: int) -> None:
    profile = Profile(name="x", backend="slurm", file="x.yaml", site=SlurmSettings(partition="nope"))
    error = ClientError("sbatch", said)
    found = explain_refusal(error, profile)
    assert found.message.startswith(place)
    assert said.split(": ")[-1] in found.message
    assert found.exit_code == code
    assert found.hint
    assert not is_full(error, queued=True)


# What sbatch of Slurm 22.05.8 prints to stderr.
RECORDED = [
    (
        "sbatch: error: invalid partition specified: nope\nallocation failure: Invalid partition name specified\n",
        "partition",
    ),
    ("allocation failure: Invalid account or account/partition combination specified\n", "account"),
    ("allocation failure: Invalid qos specification\n", "qos"),
    ("allocation failure: Invalid feature specification\n", "constraint"),
    ("allocation failure: Requested reservation is invalid\n", "reservation"),
    ("allocation failure: Requested node configuration is not available\n", "resources"),
    ("allocation failure: Invalid node name specified\n", "nodelist"),
    ("allocation failure: Invalid license specification\n", "licenses"),
    ("sbatch: error: Invalid generic resource (gres) specification\n", "gpu_directive"),
    ("sbatch: unrecognized option '--nope'\nTry \"sbatch --help\" for more information\n", "additional"),
]


@pytest.mark.parametrize(("said", "key"), RECORDED, ids=[key for _, key in RECORDED])
def test_recorded_refusals_name_the_key(said: str, key: str) -> None:
    error = ClientError("sbatch", said)
    found = explain_refusal(error, Profile(name="x", backend="slurm", file="x.yaml"))
    assert found.message.startswith(f"{key}: " if key == "resources" else f"x.yaml: {key}: ")
    assert error.message in found.message and "Try " not in found.message
    assert found.hint


def test_a_full_queue_is_no_mistake() -> None:
    said = "sbatch: error: AssocMaxSubmitJobLimit\nsbatch: error: Batch job submission failed: Job violates …"
    assert is_full(ClientError("sbatch", said), queued=False)
    assert is_full(ClientError("sbatch", "sbatch: error: QOSMaxSubmitJobPerUserLimit"), queued=False)
    assert is_full(ClientError("sbatch", "sbatch: error: AssocGrpSubmitJobsLimit"), queued=False)
    # An older version of Slurm does not name the limit: with jobs in the queue it may be their number.
    unnamed = f"sbatch: error: Batch job submission failed: {POLICY}"
    assert [is_full(ClientError("sbatch", unnamed), queued=queued) for queued in (True, False)] == [True, False]


POLICY = "Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)"


# The words are those that sbatch of Slurm 22.05.8 printed for a QOS with DenyOnLimit.
@pytest.mark.parametrize(
    ("limit", "begins"),
    [
        ("QOSMaxWallDurationPerJobLimit", "resources.timeout_min: 90 is more than the QOS strict allows"),
        ("QOSMaxCpuPerUserLimit", "resources.cpus_per_task: 6 is more than the QOS strict allows"),
        ("QOSMaxNodePerJobLimit", "resources.nodes: 2 is more"),
        ("QOSMaxMemoryPerJob", "resources.mem_gb: 12.5 is more"),
        ("QOSMaxGRESPerUser", "resources.gpus_per_node: 3 is more"),
        ("AssocMaxWallDurationPerJobLimit", "resources.timeout_min: 90 is more than the account lab allows"),
        ("AssocGrpBBMinutes", "resources is more than the account lab allows"),
    ],
)
def test_a_limit_that_a_run_can_never_meet_is_a_refusal_with_slurms_word_and_the_value(limit: str, begins: str) -> None:
    site = SlurmSettings(qos="strict", account="lab")
    resources = Resources(timeout_min=90, cpus_per_task=6, nodes=2, mem_gb=12.5, gpus_per_node=3)
    for final in ("sbatch: error: Batch job submission failed: ", "allocation failure: "):
        error = ClientError("sbatch", f"sbatch: error: {limit}\n{final}{POLICY}\n")
        found = explain_refusal(error, Profile(name="x", backend="slurm", site=site), resources)
        assert found.message.startswith(begins), found.message
        assert limit in found.message and POLICY in found.message
        assert (found.exit_code, not is_full(error, queued=True)) == (2, True)
        assert found.hint and "sacctmgr show" in found.hint


def test_the_words_of_a_site_come_first_and_are_not_taken_for_slurms() -> None:
    said = (
        "sbatch: error: unknown project, and invalid qos\nsbatch: error: \x1b[31mTry --mem-per-cpu\x1b[0m\n"
        "sbatch: error: Batch job submission failed: Unspecified error\n"
    )
    found = explain_refusal(ClientError("sbatch", said), Profile(name="x", backend="slurm"))
    words = "sbatch: unknown project, and invalid qos; \\x1b[31mTry --mem-per-cpu\\x1b[0m; Batch job submission failed"
    assert found.message.startswith(words)
    assert found.exit_code == 2 and "filter of the site" in (found.hint or "")


def test_two_ways_to_ask_for_memory_exclude_each_other() -> None:
    site = SlurmSettings(additional={"mem-per-cpu": "500M"})
    plain, asks = (entries_of([plan_of()])[0] for _ in range(2))
    check_memory(site, [plain], "x.yaml")
    asks = replace(asks, resources=Resources(mem_gb=4))
    check_memory(SlurmSettings(additional={"switches": "1"}), [asks], "x.yaml")
    with pytest.raises(ProfileError, match=r"x\.yaml: additional\.mem-per-cpu: .* resources\.mem_gb, which is 4"):
        check_memory(site, [plain, asks], "x.yaml")


def test_sbatch_that_would_sleep_is_killed_at_once_and_what_it_says_on_success_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    program = tmp_path / "sbatch"
    program.write_text(
        "#!/bin/bash\necho 'sbatch: error: Slurm job queue full, sleeping and retrying' >&2\nexec sleep 60"
    )
    program.chmod(0o755)
    begun = time.monotonic()
    with pytest.raises(sbatch_module.TableFull, match="Slurm job queue full"):
        sbatch_module.sbatch(["sbatch", "x.sh"])
    assert time.monotonic() - begun < 20
    program.write_text(
        "#!/bin/sh\necho 'sbatch: your job was moved' >&2\necho 'sbatch: Job 7 to start at now on n1' >&2\necho 7\n"
    )
    answer = sbatch_module.sbatch(["sbatch", "x.sh"])
    assert (answer.out, answer.notes) == ("7\n", ("your job was moved",))


def test_a_node_that_kills_runs_is_avoided_where_another_does_not(tmp_path: Path) -> None:
    killed = [Made(seed=n, state=State.FAILED, reason=Reason.KILLED) for n in range(2)]
    views = make_sweep(tmp_path, "w", [*killed, Made(seed=2, state=State.SUCCEEDED)]).views()
    assert excluded_nodes(views, 2) == []  # all of them on this machine
    moved = [type(view)(**{**vars(view), "host": "n2" if view.seed < 2 else "n1"}) for view in views]
    assert excluded_nodes(moved, 2) == ["n2"]
    assert excluded_nodes(moved, 3) == []
    assert excluded_nodes(moved, 0) == []


REFUSED = "echo allocation failure: node configuration is not available >&2; exit 1\n"


@pytest.mark.parametrize(
    ("states", "kind", "words"),
    [
        ("idle drain", ClientError, "node configuration is not available"),
        ("drain down*", Unreachable, "no node of the cluster takes jobs now (1 drain, 1 down*)"),
        ("unk* idle*", Unreachable, "(1 unk*, 1 idle*)"),
    ],
)
def test_what_no_node_takes_is_a_mistake_only_where_nodes_take_jobs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, states: str, kind: type[LaunchError], words: str
) -> None:
    (tmp_path / "sbatch").write_text(
        "#!/bin/sh\necho allocation failure: node configuration is not available >&2; exit 1\n"
    )
    lines = "\n".join(f"echo n{number} {state}" for number, state in enumerate(states.split()))
    (tmp_path / "sinfo").write_text(f"#!/bin/sh\nset -f\n{lines}\n")
    for name in ("sbatch", "sinfo"):
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(sbatch_module, "_PATIENCE_S", 0.1)
    monkeypatch.setattr(sbatch_module, "_PAUSE_S", 0.01)
    with pytest.raises(kind) as caught:
        sbatch_module.sbatch(["sbatch", "x.sh"])
    assert words in caught.value.message


def test_nodes_that_a_new_controller_has_not_heard_of_are_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sbatch").write_text(f"#!/bin/sh\n[ -e {tmp_path}/up ] && exec echo 7\ntouch {tmp_path}/up\n{REFUSED}")
    (tmp_path / "sinfo").write_text("#!/bin/sh\necho n1 'idle*'\n")
    for name in ("sbatch", "sinfo"):
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(sbatch_module, "_PAUSE_S", 0.01)
    assert sbatch_module.sbatch(["sbatch", "x.sh"]).out == "7\n"


def test_a_task_that_leaves_does_not_count_itself_as_queued() -> None:
    rows = parse_rows("12_1|RUNNING|None|n1|me|x\n12_[2-3]|PENDING|Resources||me|x\n7|RUNNING|None|n1|me|y\n")
    assert [row.tasks for row in without_task(QueueSnapshot(rows=tuple(rows)), "12_1").rows] == [(), (2, 3), ()]
    assert without_task(QueueSnapshot(rows=tuple(rows)), None).rows == tuple(rows)
