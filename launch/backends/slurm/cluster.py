"""Ask a cluster for its limits: the size of an array, the jobs that one user may have queued, its partitions."""

from __future__ import annotations

import getpass
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import NamedTuple

from launch.backends.slurm.client import run_client
from launch.backends.slurm.request import Limits
from launch.errors import BackendError, LaunchError, ProfileError, did_you_mean
from launch.profiles.slurm import SlurmSettings
from launch.store.records import ManifestEntry

_SETTING = re.compile(r"^(\w+)\s*=\s*(.*?)\s*$", re.MULTILINE)
_ARRAY_TASKS = re.compile(r"max_array_tasks=(\d+)")
_UNLIMITED = 1 << 31


def read_limits(site: SlurmSettings) -> Limits:
    """Ask the cluster for its limits. The profile may lower them, and says whether to use the accounting database.

    Raises:
        BackendError: If the cluster does not answer, or has no job arrays.
    """
    settings = read_settings(run_client(["scontrol", "show", "config"]))
    accounts = site.accounting
    if accounts is None:
        accounts = has_accounts(settings)
    numbers = _asked(site) if accounts else []
    return replace(limits_of(settings, site, numbers), accounts=accounts)


def read_settings(text: str) -> dict[str, str]:
    """Return the settings in the output of `scontrol show config`, by name."""
    return dict(_SETTING.findall(text))


def has_accounts(settings: dict[str, str]) -> bool:
    """Return whether a cluster has an accounting database, which sacctmgr and sacct can read."""
    return "slurmdbd" in settings.get("AccountingStorageType", "")


def limits_of(settings: dict[str, str], site: SlurmSettings, numbers: list[int]) -> Limits:
    """Return the limits that apply. Pure.

    Args:
        settings: The answer of `scontrol show config`.
        site: The Slurm settings of the profile, which may lower the limits.
        numbers: The limits in the accounting database on the queued jobs of this user.

    Raises:
        BackendError: If the cluster has no job arrays.
    """
    largest = _number(settings.get("MaxArraySize", "")) or 0
    named = _ARRAY_TASKS.search(settings.get("SchedulerParameters", ""))
    tasks = min(largest, int(named[1])) if named else largest
    if tasks < 1:
        raise BackendError("this cluster has no job arrays (MaxArraySize is 0)", hint="ask its administrators for them")
    jobs = _number(settings.get("MaxJobCount", ""))
    most = [number for number in (*numbers, jobs, site.max_submit) if number]
    codes = ",".join(settings.get(name, "") for name in ("RequeueExit", "RequeueExitHold"))
    return Limits(
        array_tasks=tasks,
        submit=min(most, default=None),
        requeue_exits=tuple(sorted(_codes(codes))),
        job_table=jobs,
        job_age_s=_number(settings.get("MinJobAge", "")),
    )


class Partition(NamedTuple):
    """A partition of the cluster."""

    name: str
    is_default: bool  # whether jobs that name no partition go there
    most_min: float | None  # its time limit in minutes; None for no limit


def read_partitions(text: str) -> list[Partition]:
    """Return the partitions in the output of `sinfo -h -o '%P|%l'`."""
    found: dict[str, Partition] = {}
    for line in text.splitlines():
        name, _, limit = line.strip().partition("|")
        plain = name.rstrip("*")
        found[plain] = Partition(plain, name.endswith("*"), _minutes(limit))
    return list(found.values())


def check_partition(site: SlurmSettings, longest_min: float | None, partitions: Sequence[Partition], file: str) -> None:
    """Raise if a partition does not exist, or its time limit is shorter than that of the runs. Pure.

    A cluster without EnforcePartLimits accepts such a job but never starts it.

    Args:
        site: The Slurm settings of the profile.
        longest_min: The longest time limit of the runs, in minutes; None if no run has a limit.
        partitions: The partitions of the cluster.
        file: The profile's file, for messages.

    Raises:
        ProfileError: If the partition does not exist; the message suggests the nearest name.
        LaunchError: If the time limit of the runs is too long.
    """
    names = [partition.name for partition in partitions]
    named = site.partition.split(",") if site.partition else []
    for name in named:
        if name not in names:
            message = f"the cluster has no partition {name!r}{did_you_mean(name, names)}"
            raise ProfileError(file, "partition", message, hint=f"the partitions are {', '.join(names)}")
    chosen = [p for p in partitions if (p.name in named if named else p.is_default)]
    limits = [partition.most_min for partition in chosen]
    if longest_min is None or not limits or any(limit is None or longest_min <= limit for limit in limits):
        return
    most = max(limit for limit in limits if limit is not None)
    raise LaunchError(
        f"resources.timeout_min: {longest_min:g} min is longer than the partition "
        f"{','.join(p.name for p in chosen)} allows, which is {most:g} min",
        hint="lower timeout_min in the sweep: a run with checkpoints continues from the last one in its next attempt",
    )


def check_memory(site: SlurmSettings, entries: Sequence[ManifestEntry], file: str) -> None:
    """Raise if the profile and a run both ask for memory: Slurm accepts one of these options only. Pure.

    Raises:
        ProfileError: The message names both keys.
    """
    asked = next((entry.resources.mem_gb for entry in entries if entry.resources.mem_gb is not None), None)
    for key in site.additional if asked is not None else ():
        if key in ("mem-per-cpu", "mem-per-gpu"):
            message = f"it excludes resources.mem_gb, which is {asked:g} in the sweep: Slurm takes one of them"
            raise ProfileError(file, f"additional.{key}", message, hint="leave one of the two keys out")


def _minutes(text: str) -> float | None:
    """Return the minutes in Slurm's `[[days-]hours:]minutes:seconds`; None for no limit."""
    match = re.fullmatch(r"(?:(\d+)-)?(?:(\d+):)??(\d+):(\d+)", text.strip())
    if match is None:
        return None
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return 24 * 60 * days + 60 * hours + minutes + seconds / 60


def _asked(site: SlurmSettings) -> list[int]:
    """Return the limits in the accounting database on this user's queued jobs; empty if it does not answer."""
    user = getpass.getuser()
    columns = "Account,Partition,MaxSubmitJobs,GrpSubmitJobs"
    questions = [
        ["sacctmgr", "-nP", "show", "assoc", f"user={user}", f"format={columns}"],
        ["sacctmgr", "-nP", "show", "qos", "format=Name,MaxSubmitJobsPerUser,MaxSubmitJobsPerAccount"],
    ]
    try:
        with ThreadPoolExecutor() as pool:  # each takes 0.2 s, nearly all of it waiting
            own, services = pool.map(run_client, questions)
    except BackendError:
        return []  # without an answer sbatch itself reports when a limit is reached
    of_services = (line.split("|") for line in services.splitlines())
    numbers = [number for service, *numbers in of_services if service == (site.qos or "normal") for number in numbers]
    return [*_of_associations(own, site), *filter(None, map(_number, numbers))]


def _of_associations(text: str, site: SlurmSettings) -> Iterator[int]:
    """Yield the job limits of the user's associations (account and partition) that apply to a submission."""
    for line in text.splitlines():
        account, partition, *numbers = line.split("|")
        if site.account in (None, account) and (not partition or site.partition in (None, partition)):
            yield from filter(None, map(_number, numbers))


def _codes(text: str) -> set[int]:
    """Return the exit codes in a list such as `75,80-90`."""
    spans = [part.partition("-") for part in text.split(",") if part[:1].isdigit()]
    return {code for first, _, last in spans for code in range(int(first), int(last or first) + 1)}


def _number(text: str) -> int | None:
    digits = re.match(r"\d+", text.strip())
    value = int(digits[0]) if digits else 0
    return value if 0 < value < _UNLIMITED else None
