"""Explain a refusal by Slurm: which key of the profile or of the sweep is wrong. Pure."""

from __future__ import annotations

import re

from launch.backends.slurm.client import ClientError
from launch.errors import BackendError, LaunchError, ProfileError
from launch.profiles.profile import Profile

# Parts of messages that mean that the queue is full for this user: the other runs are submitted later.
_FULL = (
    "MaxSubmitJob",
    "MaxSubmitPU",
    "MaxSubmitPA",
    "GrpSubmitJob",
    "job submit limit",
    "Slurm temporarily unable to accept job",
    "Maximum array size",
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
        r"Requested time limit is invalid|MaxWall|exceeds.*time limit|Requested partition configuration.*time",
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


def is_full(error: ClientError) -> bool:
    """Return whether a refusal only means that the queue has no room now."""
    return any(word in error.said for word in _FULL)


def explain_refusal(error: ClientError, profile: Profile) -> LaunchError:
    """Return an error that names the key that a refusal is about, and quotes Slurm's message."""
    for pattern, key, reason, hint in _REFUSALS:
        if re.search(pattern, error.said, re.IGNORECASE):
            words = f"{reason.format(value=getattr(profile.site, key, None))} ({error.message})"
            if key.startswith("resources"):
                return LaunchError(f"{key}: {words}", hint=hint)
            return ProfileError(profile.file or f"profile {profile.name}", key, words, hint=hint)
    return BackendError(error.message, hint="nothing was submitted; `sinfo` shows whether the cluster takes jobs")
