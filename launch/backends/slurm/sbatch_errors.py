"""Explain a refusal by Slurm: which key of the profile or of the sweep is wrong. Pure."""

from __future__ import annotations

import re

from launch.backends.slurm.client import ClientError, said_lines
from launch.errors import BackendError, LaunchError, ProfileError
from launch.profiles.profile import Profile
from launch.specs.resources import Resources

# Messages that mean that there is no room now: the other runs are submitted later.
_FULL = re.compile(
    r"(Max|Grp)Submit(Job|P[UA])|unable to accept job|job queue full|Resource temporarily unavailable|"
    r"Maximum array size"
)
# The end of the message of every limit of an account or a QOS, also of those that the job can never meet.
_POLICY = "job submit limit"
# The word for the limit, which the line before has: such as QOSMaxWallDurationPerJobLimit.
_LIMIT = re.compile(r"\b((?:QOS|Assoc)\w+)")

# What the word for a limit contains, and the key of the resources.
_LIMITS = (
    ("Wall", "timeout_min"),
    ("Cpu", "cpus_per_task"),
    ("Node", "nodes"),
    ("Mem", "mem_gb"),
    ("GRES", "gpus_per_node"),
    ("Gres", "gpus_per_node"),
)

# A pattern for Slurm's message, the key that is wrong (of the profile or of the sweep's resources), why, and a hint.
_REFUSALS = (
    (
        r"invalid partition specified|Invalid partition name",
        "partition",
        "the cluster has no partition {value!r}",
        "`sinfo -s` lists the partitions",
    ),
    (
        r"Requested time limit is invalid|exceeds.*time limit|Requested partition configuration.*time",
        "resources.timeout_min",
        "the partition does not allow a run that much time",
        "`sinfo -o '%P %l'` shows each partition's limit; lower timeout_min in the sweep",
    ),
    (
        r"Invalid account|account/partition combination|no such account",
        "account",
        "you may not use the account {value!r} here",
        "`sacctmgr show assoc user=$USER format=Account,Partition,QOS` lists yours",
    ),
    (
        r"Invalid qos",
        "qos",
        "you may not use the quality of service {value!r}",
        "`sacctmgr show assoc user=$USER format=Account,QOS` lists yours",
    ),
    (
        r"Invalid feature",
        "constraint",
        "no node has the feature {value!r}",
        "`sinfo -o '%N %f'` lists the features of every node",
    ),
    (
        r"reservation is invalid|Requested reservation",
        "reservation",
        "the cluster has no reservation {value!r} for you",
        "`scontrol show reservation` lists them",
    ),
    (
        r"Invalid license",
        "licenses",
        "the cluster has no licence {value!r}",
        "`scontrol show licenses` lists them",
    ),
    (
        r"Invalid generic resource|Invalid gres|Invalid GRES|gres.*invalid",
        "gpu_directive",
        "the cluster does not know this name for GPUs",
        "`sinfo -o '%P %G'` shows how it names them; see gpu_directive and gpu_type",
    ),
    (
        r"Invalid wckey",
        "wckey",
        "you may not use the key {value!r}",
        "`sacctmgr show user $USER withassoc format=DefaultWCKey` shows yours",
    ),
    (
        r"Invalid node name",
        "nodelist",
        "the cluster has no node {value!r}",
        "`sinfo -N` lists the nodes; see nodelist and exclude",
    ),
    (
        r"Memory specification|memory.*not be satisfied",
        "resources.mem_gb",
        "no node has that much memory",
        "`sinfo -o '%P %m'` shows the memory of each partition's nodes",
    ),
    (
        r"node configuration is not available|More processors requested|Node count specification|CPU count",
        "resources",
        "no node of the partition has what a run asks for",
        "`sinfo -o '%P %c %m %G'` shows cores, memory and GPUs of the nodes",
    ),
    (
        r"unrecognized option|invalid option|Invalid .*specification|unknown",
        "additional",
        "sbatch does not know one of the options",
        "`sbatch --help` lists them; this cluster's Slurm may be older than the option",
    ),
)


def is_full(error: ClientError, *, queued: bool) -> bool:
    """Return whether a refusal only means that the queue has no room now.

    Args:
        error: The refusal.
        queued: Whether this user has jobs in the queue. If not, a limit that Slurm does not name refuses for good.
    """
    if _FULL.search(error.said):
        return True
    return queued and _POLICY in error.said and limit_in(error) is None


def limit_in(error: ClientError) -> str | None:
    """Return Slurm's word for the limit of an account or a QOS that a refusal is about; None without a word."""
    match = _LIMIT.search(error.said)
    return match and match[1]


def explain_refusal(error: ClientError, profile: Profile, resources: Resources | None = None) -> LaunchError:
    """Return an error that names the key that a refusal is about, and quotes everything that sbatch printed.

    Args:
        error: The refusal.
        profile: The cluster's settings.
        resources: The resources that were asked for; None if they are not known.
    """
    if (limit := limit_in(error)) is not None and _POLICY in error.said:
        return _explain_limit(error, limit, profile, resources)
    # The lines before the last are of a filter of the site: its words are no key.
    last = said_lines(error.program, error.said)[-1:]
    own = last[0] if last and re.search(r"fail(ed|ure): ", last[0]) else error.said
    for pattern, key, reason, hint in _REFUSALS:
        if re.search(pattern, own, re.IGNORECASE):
            words = f"{reason.format(value=getattr(profile.site, key, None))} ({error.message})"
            if key.startswith("resources"):
                return LaunchError(f"{key}: {words}", hint=hint)
            return ProfileError(profile.file or f"profile {profile.name}", key, words, hint=hint)
    if "Unspecified error" in own:
        return LaunchError(error.message, hint="nothing was submitted: a filter of the site has refused the job")
    return BackendError(error.message, hint="nothing was submitted; `sinfo` shows whether the cluster takes jobs")


def _explain_limit(error: ClientError, limit: str, profile: Profile, resources: Resources | None) -> LaunchError:
    """Return an error about a limit of an account or a QOS that the runs can never meet."""
    key = next((key for part, key in _LIMITS if part in limit), None)
    value = getattr(resources, key, None) if key else None
    asked = f"resources.{key}: {value}" if key and value is not None else f"resources.{key}" if key else "resources"
    if limit.startswith("QOS"):
        owner = f"the QOS {profile.site.qos}" if profile.site.qos else "the QOS of the job"
        hint = (
            f"`sacctmgr show qos {profile.site.qos or 'normal'} format=Name,MaxWall,MaxTRES,MaxTRESPU` shows its limits"
        )
    else:
        owner = f"the account {profile.site.account}" if profile.site.account else "your account"
        hint = "`sacctmgr show assoc user=$USER format=Account,MaxWall,MaxTRES,GrpTRES` shows its limits"
    return LaunchError(f"{asked} is more than {owner} allows, {limit} ({error.message})", hint=hint)
