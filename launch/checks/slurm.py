"""What a Slurm cluster says of itself, held against a profile: one check per fact. Asks, and changes nothing."""

from __future__ import annotations

import getpass
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from launch.backends.slurm.client import run_client
from launch.backends.slurm.cluster import has_accounts, read_settings
from launch.checks.check import Check, Level
from launch.errors import BackendError, nearest
from launch.profiles.profile import Profile

_NEEDED = ("sbatch", "squeue", "scontrol", "scancel")
_USEFUL = {
    "sacct": "what squeue has forgotten is told by the runs' own files alone",
    "sacctmgr": "limits of accounts cannot be read: say max_submit in the profile where the site has one",
}
_HOME = Path(__file__).resolve().parents[2]
# File systems that the nodes of a cluster commonly share, and those that only this machine sees.
_SHARED = re.compile(
    r"nfs|lustre|gpfs|beegfs|ceph|panfs|wekafs|pvfs|orangefs|gfs2|glusterfs|cifs|afs|9p|virtiofs|fuse\."
)
_MANY = 100_000

Row = Mapping[str, str]


def examine_cluster(profile: Profile, runs: Path) -> Iterator[Check]:
    """Look at everything that runs on a cluster depend on, from where the command is typed.

    Args:
        profile: What is to be held against it.
        runs: Where runs lie.

    Yields:
        The checks.
    """
    clients = list(check_clients())
    yield from clients
    yield from check_shared(runs)
    if any(check.level is Level.FAIL for check in clients):
        return
    try:
        config = read_settings(run_client(["scontrol", "show", "config"]))
        partitions = read_partitions(run_client(["scontrol", "--oneliner", "show", "partition"]))
    except BackendError as error:
        yield Check(name="slurmctld", level=Level.FAIL, message=error.message, advice=error.hint, unreachable=True)
        return
    message = f"{config.get('ClusterName', '?')}, Slurm {config.get('SLURM_VERSION', '?')}"
    yield Check(name="slurmctld", level=Level.OK, message=message)
    looks: tuple[Callable[[], Iterator[Check]], ...] = (
        lambda: check_partition(profile, config, partitions),
        lambda: check_gpus(profile, run_client(["sinfo", "-h", "-o", "%R|%G"])),
        lambda: check_limits(profile, config),
        lambda: check_accounts(profile, config),
        lambda: check_requeue(profile, config),
    )
    for look in looks:
        try:
            yield from look()
        except BackendError as error:
            yield Check(name="slurm", level=Level.WARN, message=error.message, advice=error.hint)
    yield _summary(profile)


def read_partitions(text: str) -> dict[str, Row]:
    """Return what `scontrol --oneliner show partition` says of each partition."""
    rows = (dict(re.findall(r"(\S+?)=(\S*)", line)) for line in text.splitlines())
    return {row["PartitionName"]: row for row in rows if "PartitionName" in row}


def parse_table(text: str, columns: Sequence[str]) -> list[Row]:
    """Return the rows of a `--parsable2` table without its head."""
    return [dict(zip(columns, line.split("|"), strict=False)) for line in text.splitlines() if "|" in line]


def check_clients() -> Iterator[Check]:
    """Are Slurm's commands here, and which version are they?"""
    missing = [program for program in _NEEDED if shutil.which(program) is None]
    if missing:
        advice = "type this on a node of the cluster from which jobs are submitted, or load its Slurm module"
        message = f"not on the PATH: {', '.join(missing)}"
        yield Check(name="clients", level=Level.FAIL, message=message, advice=advice, unreachable=True)
        return
    try:
        version = run_client(["sbatch", "--version"]).strip()
    except BackendError as error:  # without a slurm.conf it does not even say that
        yield Check(name="clients", level=Level.FAIL, message=error.message, advice=error.hint, unreachable=True)
        return
    yield Check(name="clients", level=Level.OK, message=f"{', '.join(_NEEDED)}: {version}")
    for program, meaning in _USEFUL.items():
        if shutil.which(program) is None:
            yield Check(name=program, level=Level.WARN, message="not on the PATH", advice=meaning)


def check_shared(runs: Path) -> Iterator[Check]:
    """Will the nodes see the runs, the launcher's code and its Python where they lie here?"""
    places = {"runs": runs, "code": _HOME, "python": Path(sys.executable)}
    mounts = _mounts()
    for name, place in places.items():
        point, kind = _mount_of(place.absolute(), mounts)
        if _SHARED.search(kind):
            yield Check(name=f"{name} shared", level=Level.OK, message=f"{place}: {kind} under {point}")
        else:
            message = f"{place} lies on {kind} under {point}, which other nodes may not see"
            advice = "where they do not, install the launcher on a shared file system"
            if name == "runs":
                advice = "where they do not, say in the profile: runs_dir: /a/shared/folder"
            yield Check(name=f"{name} shared", level=Level.WARN, message=message, advice=advice)


def _mounts() -> list[tuple[str, str]]:
    """Return the mount points and their kinds, the last mounted first."""
    try:
        lines = Path("/proc/mounts").read_text().splitlines()
    except OSError:
        return []
    return [(words[1].replace("\\040", " "), words[2]) for line in reversed(lines) if len(words := line.split()) > 2]


def _mount_of(path: Path, mounts: Sequence[tuple[str, str]]) -> tuple[str, str]:
    above = [mount for mount in mounts if path.is_relative_to(mount[0])]
    return max(above, key=lambda mount: len(mount[0]), default=("/", "an unknown file system"))


def check_partition(profile: Profile, config: Row, partitions: Mapping[str, Row]) -> Iterator[Check]:
    """Is there such a partition, is it up, how long may a run take, and what becomes of one that makes room?"""
    default = next((name for name, row in partitions.items() if row.get("Default") == "YES"), None)
    wanted = profile.site.partition
    if wanted is None and default is None:
        advice = f"say in the profile: partition: {' or '.join(partitions)}"
        yield Check(name="partition", level=Level.FAIL, message="the cluster has no default partition", advice=advice)
        return
    for name in (wanted or default or "").split(","):
        row = partitions.get(name)
        if row is None:
            near = nearest(name, list(partitions))
            advice = f"say in the profile: partition: {near or ' or '.join(partitions)}"
            yield Check(name="partition", level=Level.FAIL, message=f"there is no partition {name!r}", advice=advice)
            continue
        facts = f"{name}{'' if wanted else ' (the default)'}: at most {row.get('MaxTime')} a run"
        if row.get("State") != "UP":
            message = f"{facts}; it is {row.get('State', '?').lower()}"
            yield Check(name="partition", level=Level.WARN, message=message, advice="runs wait until it is up")
        else:
            yield Check(name="partition", level=Level.OK, message=facts)
        yield from _preemption(name, config, row)


def _preemption(name: str, config: Row, row: Row) -> Iterator[Check]:
    mode, grace = row.get("PreemptMode", "OFF"), row.get("GraceTime", "0")
    if config.get("PreemptType") == "preempt/none" or mode == "OFF":
        yield Check(name="preemption", level=Level.OK, message=f"{name}: none")
        return
    warned = any("send_user_signal" in config.get(key, "") for key in ("SlurmctldParameters", "PreemptParameters"))
    message = f"{name}: {mode.lower()}, {grace} s after a signal ({'the asked-for one' if warned else 'SIGTERM'})"
    if mode == "CANCEL":
        advice = "a preempted run leaves the queue; the sweep's command typed again goes on with it"
        yield Check(name="preemption", level=Level.WARN, message=message, advice=advice)
    elif grace == "0":
        advice = "a preempted run has no time for a checkpoint: let it write one often (train.checkpoint_every)"
        yield Check(name="preemption", level=Level.WARN, message=message, advice=advice)
    else:
        yield Check(name="preemption", level=Level.OK, message=message)


def check_gpus(profile: Profile, listing: str) -> Iterator[Check]:
    """Which kinds of GPU are there, and is the profile's among them?"""
    wanted = None if profile.site.partition is None else profile.site.partition.split(",")
    kinds: set[str] = set()
    for partition, gres in (line.split("|", 1) for line in listing.splitlines() if "|" in line):
        if wanted is None or partition in wanted:
            kinds |= {match[1] or "" for match in re.finditer(r"\bgpu(?::([A-Za-z][\w.-]*))?[:(,]", f"{gres},")}
    types = sorted(kinds - {""})
    if not kinds:
        yield Check(name="gpus", level=Level.OK, message="none are listed: runs use CPUs, or say gpu_directive: none")
    elif profile.site.gpu_type is not None and profile.site.gpu_type not in types:
        advice = f"say in the profile: gpu_type: {' or '.join(types)}" if types else "leave gpu_type out"
        message = f"there is no GPU of type {profile.site.gpu_type!r}"
        yield Check(name="gpus", level=Level.FAIL, message=message, advice=advice)
    else:
        advice = f"to get one kind only, say in the profile: gpu_type: {' or '.join(types)}" if len(types) > 1 else None
        message = f"of type {', '.join(types)}" if types else "without types"
        yield Check(name="gpus", level=Level.OK, message=message, advice=advice)


def check_limits(profile: Profile, config: Row) -> Iterator[Check]:
    """How many runs go into one array, and into the queue?"""
    size, count = int(config.get("MaxArraySize", 1001)), int(config.get("MaxJobCount", 10000))
    if size < 2:
        yield Check(name="arrays", level=Level.FAIL, message=f"MaxArraySize is {size}: the cluster takes no arrays")
        return
    largest = size - 1
    if named := re.search(r"max_array_tasks=(\d+)", config.get("SchedulerParameters", "")):
        largest = min(largest, int(named[1]))
    message = f"{largest:,} runs in an array, {count:,} jobs of all users in the queue; larger sweeps are split"
    yield Check(name="arrays", level=Level.OK, message=message)
    age = re.match(r"\d+", config.get("MinJobAge", ""))
    if age and int(age[0]) < profile.site.poll_interval_s:
        message = f"a finished job is forgotten after {age[0]} s, sooner than the queue is asked"
        advice = f"say in the profile: poll_interval_s: {max(1, int(age[0]) // 2)}"
        yield Check(name="memory", level=Level.WARN, message=message, advice=advice)


def check_accounts(profile: Profile, config: Row) -> Iterator[Check]:
    """Does the cluster keep accounts, and may this user submit under the profile's account and QOS?"""
    if not has_accounts(dict(config)) or shutil.which("sacctmgr") is None:
        yield Check(name="accounts", level=Level.OK, message="the cluster keeps none: status and retries do without")
        if profile.site.account or profile.site.qos:
            advice = "leave account and qos out of the profile unless the site asks for them"
            yield Check(name="account", level=Level.WARN, message="account or qos cannot be checked", advice=advice)
        return
    columns = ("Account", "Partition", "QOS", "MaxSubmitJobs", "GrpSubmitJobs")
    words = ["sacctmgr", "-n", "-P", "show", "assoc", f"user={getpass.getuser()}", f"format={','.join(columns)}"]
    rows = parse_table(run_client([*words, f"cluster={config.get('ClusterName', '')}"]), columns)
    accounts = list(dict.fromkeys(row["Account"] for row in rows))
    qos = sorted({name for row in rows for name in row.get("QOS", "").split(",") if name})
    yield _member("account", profile.site.account, accounts)
    yield _member("qos", profile.site.qos, qos)
    limits = [int(row[key]) for row in rows for key in columns[3:] if row.get(key, "").isdigit()]
    if limits and min(limits) < _MANY:
        message = f"{min(limits):,} runs at once in the queue"
        feeding = profile.site.sbatch_from_nodes
        advice = None if feeding else "sweeps beyond it are fed by `launch watch --feed`, or sbatch_from_nodes: true"
        yield Check(name="submit limit", level=Level.OK, message=message, advice=advice)


def _member(key: str, wanted: str | None, known: Sequence[str]) -> Check:
    if wanted is None:
        advice = f"to choose, say in the profile: {key}: {' or '.join(known)}" if len(known) > 1 else None
        message = f"the default of {', '.join(known)}" if known else "none is known for this user"
        return Check(name=key, level=Level.OK, message=message, advice=advice)
    if wanted in known:
        return Check(name=key, level=Level.OK, message=wanted)
    near = nearest(wanted, list(known))
    advice = f"say in the profile: {key}: {near or ' or '.join(known)}" if known else f"leave {key} out"
    return Check(name=key, level=Level.FAIL, message=f"this user has no {key} {wanted!r}", advice=advice)


def check_requeue(profile: Profile, config: Row) -> Iterator[Check]:
    """Can a run that was interrupted go on under the same job?"""
    if not profile.site.requeue:
        yield Check(name="requeue", level=Level.OK, message="not wanted: an interrupted run gets a new job")
    elif config.get("JobRequeue") == "0":
        message = "off by default here (JobRequeue=0); each job asks for it"
        advice = "where the site refuses that, say in the profile: requeue: false"
        yield Check(name="requeue", level=Level.WARN, message=message, advice=advice)
    else:
        yield Check(name="requeue", level=Level.OK, message="an interrupted run goes on under the same job")
    kill_wait = re.match(r"\d+", config.get("KillWait", ""))
    delay = profile.site.signal_delay_s
    if profile.site.signal and delay < 60:
        message = f"runs are warned {delay:g} s before their limit, and Slurm looks at limits every 30 to 60 s"
        advice = "say in the profile: signal_delay_s: 120"
        yield Check(name="warning", level=Level.WARN, message=message, advice=advice)
    elif kill_wait:
        message = f"runs are warned {delay:g} s before their limit, and killed {kill_wait[0]} s after it"
        yield Check(name="warning", level=Level.OK, message=message)


def _summary(profile: Profile) -> Check:
    said = {key: value for key, value in vars(profile.site).items() if value not in (None, (), {}, True, False)}
    words = ", ".join(f"{key}: {value}" for key, value in said.items())
    where = profile.file and os.path.normpath(profile.file)
    return Check(name="profile", level=Level.OK, message=f"{where or profile.name}: {words}")
