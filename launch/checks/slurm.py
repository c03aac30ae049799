"""Check a profile against the configuration that a Slurm cluster reports. The checks change nothing."""

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
from launch.backends.slurm.interpreter import describe_missing_interpreter
from launch.checks.check import Check, Level, fail, ok, warn
from launch.errors import BackendError, nearest
from launch.profiles.profile import Profile

_NEEDED = ("sbatch", "squeue", "scontrol", "scancel")
_USEFUL = {
    "sacct": "only the runs' own files tell how a job ended that squeue has forgotten",
    "sacctmgr": "limits of accounts cannot be read: if the site has one, add max_submit to the profile",
}
_HOME = Path(__file__).resolve().parents[2]
# File systems that the nodes of a cluster commonly share; only this machine sees the others.
_SHARED = re.compile(
    r"nfs|lustre|gpfs|beegfs|ceph|panfs|wekafs|pvfs|orangefs|gfs2|glusterfs|cifs|afs|9p|virtiofs|fuse\."
)
_MANY = 100_000

Row = Mapping[str, str]


def examine_cluster(profile: Profile, runs: Path) -> Iterator[Check]:
    """Check everything that runs on a cluster depend on, as far as this machine can see it."""
    clients = list(check_clients())
    yield from clients
    yield from check_shared(runs, profile)
    yield from check_interpreter(profile)
    if any(check.level is Level.FAIL for check in clients):
        return
    try:
        config = read_settings(run_client(["scontrol", "show", "config"]))
        partitions = read_partitions(run_client(["scontrol", "--oneliner", "show", "partition"]))
    except BackendError as error:
        yield fail("slurmctld", error.message, error.hint, unreachable=True)
        return
    yield ok("slurmctld", f"{config.get('ClusterName', '?')}, Slurm {config.get('SLURM_VERSION', '?')}")
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
            yield warn("slurm", error.message, error.hint)
    said = {key: value for key, value in vars(profile.site).items() if value not in (None, (), {}, True, False)}
    words = ", ".join(f"{key}: {value}" for key, value in said.items())
    yield ok("profile", f"{os.path.normpath(profile.file) if profile.file else profile.name}: {words}")


def read_partitions(text: str) -> dict[str, Row]:
    """Return the settings of each partition in the output of `scontrol --oneliner show partition`."""
    rows = (dict(re.findall(r"(\S+?)=(\S*)", line)) for line in text.splitlines())
    return {row["PartitionName"]: row for row in rows if "PartitionName" in row}


def check_clients() -> Iterator[Check]:
    """Check that Slurm's commands are installed, and report their version."""
    missing = [program for program in _NEEDED if shutil.which(program) is None]
    if missing:
        advice = "type this on a node of the cluster from which jobs are submitted, or load its Slurm module"
        yield fail("clients", f"not on the PATH: {', '.join(missing)}", advice, unreachable=True)
        return
    try:
        version = run_client(["sbatch", "--version"]).strip()
    except BackendError as error:  # even --version fails without a slurm.conf
        yield fail("clients", error.message, error.hint, unreachable=True)
        return
    yield ok("clients", f"{', '.join(_NEEDED)}: {version}")
    for program, meaning in _USEFUL.items():
        if shutil.which(program) is None:
            yield warn(program, "not on the PATH", meaning)


def check_interpreter(profile: Profile) -> Iterator[Check]:
    """Check that the interpreter for training exists, as far as this machine can know."""
    python = profile.site.python
    if python is None:
        return
    if missing := describe_missing_interpreter(profile.site):
        advice = (
            "if the nodes do not have it either, correct python: in the profile, or set null for the launcher's own"
        )
        yield warn("training python", missing, advice)
    elif os.sep in python or not profile.site.setup:
        yield ok("training python", f"{shutil.which(python)}, for trainings; a `command:` is executed as it is written")
    else:
        yield ok("training python", f"{python}, looked for after the lines of setup: only a run tells if it is there")


def check_shared(runs: Path, profile: Profile) -> Iterator[Check]:
    """Check that the folders of runs, code and Python are on a file system that the nodes see too."""
    mounts = _mounts()
    places = {"runs": runs, "code": _HOME, "python": Path(sys.executable)}
    if profile.site.python is not None and os.path.isabs(profile.site.python) and os.path.exists(profile.site.python):
        places["training python"] = Path(profile.site.python)
    for name, place in places.items():
        above = [mount for mount in mounts if place.absolute().is_relative_to(mount[0])]
        point, kind = max(above, key=lambda mount: len(mount[0]), default=("/", "an unknown file system"))
        if _SHARED.search(kind):
            yield ok(f"{name} shared", f"{place}: {kind} under {point}")
        else:
            advice = "if they do not, install the launcher on a shared file system"
            if name == "runs":
                advice = "if they do not, set in the profile: runs_dir: /a/shared/folder"
            message = f"{place} lies on {kind} under {point}, which other nodes may not see"
            yield warn(f"{name} shared", message, advice)


def _mounts() -> list[tuple[str, str]]:
    """Return the mount points and their types of file system, the last mounted first."""
    try:
        lines = Path("/proc/mounts").read_text().splitlines()
    except OSError:
        return []
    return [(words[1].replace("\\040", " "), words[2]) for line in reversed(lines) if len(words := line.split()) > 2]


def check_partition(profile: Profile, config: Row, partitions: Mapping[str, Row]) -> Iterator[Check]:
    """Check that each partition of the profile exists and is up; report its time limit and preemption."""
    default = next((name for name, row in partitions.items() if row.get("Default") == "YES"), None)
    wanted = profile.site.partition or default
    if wanted is None:
        advice = f"set in the profile: partition: {' or '.join(partitions)}"
        yield fail("partition", "the cluster has no default partition", advice)
        return
    for name in wanted.split(","):
        row = partitions.get(name)
        if row is None:
            near = nearest(name, list(partitions)) or " or ".join(partitions)
            yield fail("partition", f"there is no partition {name!r}", f"set in the profile: partition: {near}")
            continue
        facts = f"{name}{'' if profile.site.partition else ' (the default)'}: at most {row.get('MaxTime')} a run"
        if row.get("State") != "UP":
            yield warn("partition", f"{facts}; it is {row.get('State', '?').lower()}", "runs wait until it is up")
        else:
            yield ok("partition", facts)
        yield _preemption(name, config, row)


def _preemption(name: str, config: Row, row: Row) -> Check:
    mode, grace = row.get("PreemptMode", "OFF"), row.get("GraceTime", "0")
    if config.get("PreemptType") == "preempt/none" or mode == "OFF":
        return ok("preemption", f"{name}: none")
    warned = any("send_user_signal" in config.get(key, "") for key in ("SlurmctldParameters", "PreemptParameters"))
    message = f"{name}: {mode.lower()}, {grace} s after a signal ({'the asked-for one' if warned else 'SIGTERM'})"
    if mode == "CANCEL":
        advice = "a preempted run leaves the queue; the sweep's command typed again resumes it"
        return warn("preemption", message, advice)
    if grace == "0":
        advice = "a preempted run has no time for a checkpoint: let it write one often (train.checkpoint_every)"
        return warn("preemption", message, advice)
    return ok("preemption", message)


def check_gpus(profile: Profile, listing: str) -> Iterator[Check]:
    """Report the types of GPU in the partitions, and check that the profile's type is one of them."""
    wanted = None if profile.site.partition is None else profile.site.partition.split(",")
    kinds: set[str] = set()
    for partition, gres in (line.split("|", 1) for line in listing.splitlines() if "|" in line):
        if wanted is None or partition in wanted:
            kinds |= {match[1] or "" for match in re.finditer(r"\bgpu(?::([A-Za-z][\w.-]*))?[:(,]", f"{gres},")}
    types = sorted(kinds - {""})
    choice = f"set in the profile: gpu_type: {' or '.join(types)}"
    if not kinds:
        yield ok("gpus", "none are listed: runs use CPUs, or the profile needs gpu_directive: none")
    elif profile.site.gpu_type is not None and profile.site.gpu_type not in types:
        advice = choice if types else "leave gpu_type out"
        yield fail("gpus", f"there is no GPU of type {profile.site.gpu_type!r}", advice)
    else:
        advice = f"for one kind only, {choice}" if len(types) > 1 else None
        yield ok("gpus", f"of type {', '.join(types)}" if types else "without types", advice)


def check_limits(profile: Profile, config: Row) -> Iterator[Check]:
    """Report how many runs fit in one array and in the queue; check that the queue is polled often enough."""
    size, count = int(config.get("MaxArraySize", 1001)), int(config.get("MaxJobCount", 10000))
    if size < 2:
        yield fail("arrays", f"MaxArraySize is {size}: the cluster takes no arrays")
        return
    largest = size - 1
    if named := re.search(r"max_array_tasks=(\d+)", config.get("SchedulerParameters", "")):
        largest = min(largest, int(named[1]))
    yield ok(
        "arrays", f"{largest:,} runs in an array, {count:,} jobs of all users in the queue; larger sweeps are split"
    )
    age = re.match(r"\d+", config.get("MinJobAge", ""))
    if age and int(age[0]) < profile.site.poll_interval_s:
        advice = f"set in the profile: poll_interval_s: {max(1, int(age[0]) // 2)}"
        yield warn("memory", f"Slurm forgets a finished job after {age[0]} s, before the next poll", advice)


def check_accounts(profile: Profile, config: Row) -> Iterator[Check]:
    """Check that this user may submit with the profile's account and QOS, if the cluster has accounting."""
    if not has_accounts(dict(config)) or shutil.which("sacctmgr") is None:
        yield ok("accounts", "the cluster keeps none: status and retries work without them")
        if profile.site.account or profile.site.qos:
            advice = "leave account and qos out of the profile unless the site asks for them"
            yield warn("account", "account or qos cannot be checked", advice)
        return
    columns = ("Account", "Partition", "QOS", "MaxSubmitJobs", "GrpSubmitJobs")
    words = ["sacctmgr", "-n", "-P", "show", "assoc", f"user={getpass.getuser()}", f"format={','.join(columns)}"]
    text = run_client([*words, f"cluster={config.get('ClusterName', '')}"])
    rows = [dict(zip(columns, line.split("|"), strict=False)) for line in text.splitlines() if "|" in line]
    accounts = list(dict.fromkeys(row["Account"] for row in rows))
    qos = sorted({name for row in rows for name in row.get("QOS", "").split(",") if name})
    yield _member("account", profile.site.account, accounts)
    yield _member("qos", profile.site.qos, qos)
    limits = [int(row[key]) for row in rows for key in columns[3:] if row.get(key, "").isdigit()]
    if limits and min(limits) < _MANY:
        advice = "`launch watch --feed` submits what a sweep has beyond it, as does sbatch_from_nodes: true"
        message = f"{min(limits):,} runs at once in the queue"
        yield ok("submit limit", message, None if profile.site.sbatch_from_nodes else advice)


def _member(key: str, wanted: str | None, known: Sequence[str]) -> Check:
    if wanted is None:
        advice = f"to choose, set in the profile: {key}: {' or '.join(known)}" if len(known) > 1 else None
        return ok(key, f"the default of {', '.join(known)}" if known else "none is known for this user", advice)
    if wanted in known:
        return ok(key, wanted)
    near = nearest(wanted, list(known)) or " or ".join(known)
    advice = f"set in the profile: {key}: {near}" if known else f"leave {key} out"
    return fail(key, f"this user has no {key} {wanted!r}", advice)


def check_requeue(profile: Profile, config: Row) -> Iterator[Check]:
    """Check whether an interrupted run resumes under the same job, and how long before its limit a run is signalled."""
    if not profile.site.requeue:
        yield ok("requeue", "not wanted: an interrupted run gets a new job")
    elif config.get("JobRequeue") == "0":
        advice = "if the site refuses that, set in the profile: requeue: false"
        yield warn("requeue", "off by default here (JobRequeue=0); each job asks for it", advice)
    else:
        yield ok("requeue", "an interrupted run resumes under the same job")
    kill_wait = re.match(r"\d+", config.get("KillWait", ""))
    warned = f"runs are warned {profile.site.signal_delay_s:g} s before their limit"
    if profile.site.signal and profile.site.signal_delay_s < 60:
        advice = "set in the profile: signal_delay_s: 120"
        yield warn("warning", f"{warned}, and Slurm looks at limits every 30 to 60 s", advice)
    elif kill_wait:
        yield ok("warning", f"{warned}, and killed {kill_wait[0]} s after it")
